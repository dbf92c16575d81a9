//! What events do to what Redis holds.

use cache::{Content, Entry};
use events::{Epoch, Position};
use testkit::{Publisher, nats, redis};

use crate::stage::{EPOCH, Stage, lamp, take};

#[tokio::test]
async fn an_event_refreshes_an_entry_that_redis_holds() {
    let mut stage = Stage::set().await;
    let (before, after) = (lamp(1, 1), lamp(1, 2));
    stage.hold(&before, 10).await;

    stage.publisher.changed(Some(&before), &after, Position(20)).await;
    take(&mut stage.projector().await, 1).await;

    let content = Content::Product(after.to_json().into());
    let expected = Entry { epoch: EPOCH, version: after.version, read_at: Position(20), content };
    assert_eq!(stage.held(after.id).await, Some(expected));
}

#[tokio::test]
async fn nothing_is_written_for_a_product_that_redis_does_not_hold() {
    let mut stage = Stage::set().await;
    let (before, after) = (lamp(1, 1), lamp(1, 2));

    stage.publisher.changed(None, &before, Position(10)).await;
    stage.publisher.changed(Some(&before), &after, Position(20)).await;
    stage.publisher.deleted(&after, Position(30)).await;
    take(&mut stage.projector().await, 3).await;

    assert_eq!(stage.held(after.id).await, None);
}

#[tokio::test]
async fn a_deleted_product_becomes_a_tombstone() {
    let mut stage = Stage::set().await;
    let product = lamp(1, 1);
    stage.hold(&product, 10).await;

    stage.publisher.deleted(&product, Position(20)).await;
    take(&mut stage.projector().await, 1).await;

    let version = product.version.next();
    let expected = Entry { epoch: EPOCH, version, read_at: Position(20), content: Content::Absent };
    assert_eq!(stage.held(product.id).await, Some(expected));
}

#[tokio::test]
async fn an_older_event_after_a_newer_one_changes_nothing() {
    let mut stage = Stage::set().await;
    let mut projector = stage.projector().await;
    stage.hold(&lamp(1, 1), 10).await;

    stage.publisher.changed(Some(&lamp(1, 2)), &lamp(1, 3), Position(30)).await;
    take(&mut projector, 1).await;
    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;
    take(&mut projector, 1).await;

    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(3));
}

#[tokio::test]
async fn a_higher_epoch_wins_over_a_higher_version() {
    let mut stage = Stage::set().await;
    let mut projector = stage.projector().await;
    stage.hold(&lamp(1, 8), 10).await;

    stage.publisher.epoch = Epoch(EPOCH.0 + 1);
    stage.publisher.changed(Some(&lamp(1, 2)), &lamp(1, 3), Position(5)).await;
    take(&mut projector, 1).await;
    stage.publisher.epoch = EPOCH;
    stage.publisher.changed(Some(&lamp(1, 8)), &lamp(1, 9), Position(20)).await;
    take(&mut projector, 1).await;

    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(3));
}

#[tokio::test]
async fn several_events_of_one_product_in_one_batch_cost_one_write() {
    let mut stage = Stage::set().await;
    stage.hold(&lamp(1, 1), 10).await;
    for version in 2..=6 {
        stage.publisher.changed(Some(&lamp(1, version - 1)), &lamp(1, version), Position(20)).await;
    }
    let mut redis = redis::Client::open(stage.redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    redis::cmd("CONFIG").arg("RESETSTAT").exec_async(&mut redis).await.unwrap();

    let steps = take(&mut stage.projector().await, 5).await;

    assert_eq!(steps, 1);
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(6));
    let commands: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await.unwrap();
    assert!(commands.contains("cmdstat_set:calls=1,"), "{commands}");
}

#[tokio::test]
async fn two_projectors_share_the_stream_and_every_event_is_applied() {
    const PRODUCTS: i64 = 400;
    let mut stage = Stage::set().await;
    for id in 1..=PRODUCTS {
        stage.hold(&lamp(id, 1), 1).await;
    }
    for version in 2..=6 {
        for id in 1..=PRODUCTS {
            stage.publisher.changed(Some(&lamp(id, version - 1)), &lamp(id, version), Position(9)).await;
        }
    }

    let (mut one, mut other) = (stage.projector().await, stage.projector().await);
    let mut taken = [0, 0];
    testkit::holds(async || {
        taken[0] += one.project_pending().await.unwrap_or(0);
        taken[1] += other.project_pending().await.unwrap_or(0);
        taken.iter().sum::<usize>() >= 2000
    })
    .await;

    assert_eq!(taken.iter().sum::<usize>(), 2000, "each is delivered once");
    assert!(taken.iter().all(|taken| *taken >= 500), "{taken:?}");
    for id in 1..=PRODUCTS {
        assert_eq!(stage.held_version(lamp(id, 1).id).await, Some(6));
    }
}

#[tokio::test]
async fn heartbeats_are_not_delivered() {
    let mut stage = Stage::set().await;
    stage.publisher.heartbeat(Position(10)).await;
    stage.publisher.changed(None, &lamp(1, 1), Position(20)).await;

    take(&mut stage.projector().await, 1).await;

    let consumer = stage.consumer().await;
    assert_eq!((consumer.delivered.consumer_sequence, consumer.num_pending), (1, 0));
}

#[tokio::test]
async fn a_projector_waits_for_the_stream_to_be_made() {
    let (nats, redis) = (nats(), redis());
    let client = async_nats::connect(nats.url()).await.unwrap();
    let cache = cache::Cache::new(redis.url(), std::time::Duration::from_hours(1)).unwrap();
    let mut projector = freshet_projector::Projector::new(client, cache, freshet_projector::ACK_WAIT);
    testkit::holds(async || {
        matches!(projector.project_pending().await, Err(freshet_projector::ProjectError::Unbound(_)))
    })
    .await;

    let mut publisher = Publisher::new(nats.url(), EPOCH).await;
    publisher.changed(None, &lamp(1, 1), Position(20)).await;

    take(&mut projector, 1).await;
}
