//! `freshet-projector rebuild`.

use std::time::Duration;

use cache::{Cache, Content, Entry};
use events::{Epoch, Position};
use freshet_projector::rebuild::{Rebuild, Source, catch_up};
use testkit::holds;
use tokio_util::sync::CancellationToken;

use crate::catalogue::{Catalogue, program, run, stderr};
use crate::stage::{EPOCH, Stage, lamp, take};

/// Longer than any test.
const TTL: Duration = Duration::from_hours(1);

async fn begin(catalogue: &Catalogue, stage: &Stage, batch_size: usize) -> Rebuild {
    let source = Source::open(&[], Some(&catalogue.databases.primary_url.parse().unwrap())).await.unwrap();
    Rebuild::begin(source, Cache::new(stage.redis.url(), TTL).unwrap(), batch_size).await.unwrap()
}

#[tokio::test]
async fn an_empty_redis_is_filled_with_every_live_product_from_the_replica() {
    let (stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    for id in 1..=1_201 {
        catalogue.put(&lamp(id, 3)).await;
    }
    catalogue.delete(&lamp(7, 3)).await;
    catalogue.databases.replicated().await;

    let mut rebuild = program(&stage, &["rebuild"]);
    rebuild.env("FRESHET_REPLICA_URLS", &catalogue.databases.replica_url);
    let output = run(rebuild).await;

    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("reading from replica "), "{said}");
    assert!(said.contains("1,200 products read, 1,200 written, 0 held as new or newer"), "{said}");
    for id in [1, 500, 501, 1_201] {
        let entry = stage.held(lamp(id, 3).id).await.unwrap();
        assert_eq!((entry.epoch, entry.version), (EPOCH, lamp(id, 3).version));
        assert!(entry.read_at > Position(0));
        assert_eq!(entry.content, Content::Product(lamp(id, 3).to_json().into()));
    }
    assert_eq!(stage.held(lamp(7, 3).id).await, None, "a tombstone needs no entry");
}

#[tokio::test]
async fn an_entry_that_is_newer_stays_and_an_older_one_is_replaced() {
    let (stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    for id in 1..=3 {
        catalogue.put(&lamp(id, 5)).await;
    }
    stage.hold(&lamp(1, 4), 1).await;
    stage.hold(&lamp(2, 6), 1).await;
    let later = Entry {
        epoch: Epoch(EPOCH.0 + 1),
        version: lamp(3, 1).version,
        read_at: Position(1),
        content: Content::Absent,
    };
    stage.cache.fill(&[(lamp(3, 1).id, later.clone())]).await.unwrap();

    let mut rebuild = begin(&catalogue, &stage, 500).await;
    let batch = rebuild.read_next().await.unwrap().unwrap();
    rebuild.fill(&batch).await.unwrap();

    assert!(rebuild.read_next().await.unwrap().is_none());
    assert_eq!((rebuild.read(), rebuild.written()), (3, 1));
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(5));
    assert_eq!(stage.held_version(lamp(2, 1).id).await, Some(6));
    assert_eq!(stage.held(lamp(3, 1).id).await, Some(later), "of a later epoch");
}

#[tokio::test]
async fn a_change_projected_between_the_reading_and_the_filling_is_in_the_entry_at_the_end() {
    let (mut stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    catalogue.put(&lamp(1, 1)).await;
    let mut rebuild = begin(&catalogue, &stage, 500).await;
    let batch = rebuild.read_next().await.unwrap().unwrap();

    // The projector finds nothing to refresh.
    catalogue.put(&lamp(1, 2)).await;
    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;
    take(&mut stage.projector().await, 1).await;
    rebuild.fill(&batch).await.unwrap();
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(1));

    let nats = async_nats::connect(stage.nats.url()).await.unwrap();
    assert_eq!(catch_up(&nats, &rebuild).await.unwrap(), 1);
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(2));
}

#[tokio::test]
async fn racing_with_events_it_never_leaves_an_older_entry() {
    const PRODUCTS: i64 = 60;
    let (mut stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    for id in 1..=PRODUCTS {
        catalogue.put(&lamp(id, 1)).await;
    }
    let stop = CancellationToken::new();
    let projector = stage.projector().await;
    let worker = tokio::spawn(freshet_projector::work(projector, freshet_projector::health(), stop.clone()));

    let mut rebuild = begin(&catalogue, &stage, 1).await;
    let mut version = 1;
    while let Some(batch) = rebuild.read_next().await.unwrap() {
        // Some of what was just read changes, and some of what was filled or is still to be read.
        version += 1;
        for id in [batch[0].0.get(), 1 + version % PRODUCTS, PRODUCTS] {
            let (before, after) = (lamp(id, version - 1), lamp(id, version));
            catalogue.put(&after).await;
            stage.publisher.changed(Some(&before), &after, Position(20)).await;
        }
        rebuild.fill(&batch).await.unwrap();
    }
    let nats = async_nats::connect(stage.nats.url()).await.unwrap();
    catch_up(&nats, &rebuild).await.unwrap();

    for id in 1..=PRODUCTS {
        let newest = catalogue.version(lamp(id, 1).id).await;
        holds(async || stage.held_version(lamp(id, 1).id).await == Some(newest)).await;
    }
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn without_a_usable_replica_the_primary_is_read_and_without_any_database_it_says_what_to_name() {
    let (stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    catalogue.put(&lamp(1, 1)).await;
    let nowhere = format!("postgres://127.0.0.1:{}/nowhere", xtask::ports::free(1)[0]);

    let mut rebuild = program(&stage, &["rebuild"]);
    rebuild.env("FRESHET_REPLICA_URLS", &nowhere).env("FRESHET_DATABASE_URL", &catalogue.databases.primary_url);
    let output = run(rebuild).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("no replica can be used; the primary is asked"), "{}", stderr(&output));
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(1));

    let output = run(program(&stage, &["rebuild"])).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no database is named: set --replica-urls"), "{}", stderr(&output));
}

#[tokio::test]
async fn it_ends_with_an_error_while_redis_is_away_and_without_one_while_nats_is() {
    let (mut stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    catalogue.put(&lamp(1, 1)).await;
    let rebuild = |stage: &Stage| {
        let mut rebuild = program(stage, &["rebuild"]);
        rebuild.env("FRESHET_DATABASE_URL", &catalogue.databases.primary_url);
        rebuild
    };

    stage.nats.kill9();
    let output = run(rebuild(&stage)).await;
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("NATS is not connected"), "{}", stderr(&output));

    stage.redis.kill9();
    let output = run(rebuild(&stage)).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("to begin again is safe: Redis did not answer"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_signal_stops_it_between_two_batches() {
    let (stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    for id in 1..=100 {
        catalogue.put(&lamp(id, 1)).await;
    }
    let mut rebuild = program(&stage, &["rebuild", "--products-per-second-max", "1"]);
    rebuild.env("FRESHET_DATABASE_URL", &catalogue.databases.primary_url);
    let running = rebuild.spawn().unwrap();
    let pid = running.id().to_string();
    holds(async || stage.held_version(lamp(1, 1).id).await.is_some()).await;

    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = tokio::task::spawn_blocking(|| running.wait_with_output().unwrap()).await.unwrap();

    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("stopped: "), "{}", stderr(&output));
    assert_eq!(stage.held(lamp(100, 1).id).await, None);
}
