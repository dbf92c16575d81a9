//! Servers that go away and come back.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use bytes::Bytes;
use events::{Position, STREAM};
use freshet_projector::{ProjectError, Projector, health, work};
use futures_util::StreamExt;
use testkit::{Publisher, holds};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::stage::{EPOCH, Stage, lamp, take};

/// The process's loop, in this process.
fn spawn(projector: Projector) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    (stop.clone(), tokio::spawn(work(projector, health(), stop)))
}

#[tokio::test]
async fn events_wait_unacked_while_redis_is_away_and_none_is_lost() {
    let mut stage = Stage::set().await;
    stage.hold(&lamp(1, 1), 10).await;
    stage.redis.kill9();
    for version in 2..=4 {
        stage.publisher.changed(Some(&lamp(1, version - 1)), &lamp(1, version), Position(20)).await;
    }

    let mut projector = stage.projector().await;
    holds(async || matches!(projector.project_pending().await, Err(ProjectError::Cache(_)))).await;
    assert!(projector.project_pending().await.is_err());
    let consumer = stage.consumer().await;
    assert_eq!((consumer.num_ack_pending, consumer.ack_floor.stream_sequence), (3, 0));

    // Its data is gone; a lagging source fills an old version before the projector comes back.
    stage.redis.start_again();
    stage.hold(&lamp(1, 1), 10).await;
    take(&mut projector, 3).await;

    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(4));
    holds(async || stage.consumer().await.num_ack_pending == 0).await;
}

#[tokio::test]
async fn the_server_is_asked_for_more_time_while_redis_is_away() {
    let mut stage = Stage::set().await;
    stage.redis.kill9();
    let nats = async_nats::connect(stage.nats.url()).await.unwrap();
    let mut acks = nats.subscribe("$JS.ACK.CATALOG.projector.>").await.unwrap();
    nats.flush().await.unwrap();
    stage.publisher.changed(None, &lamp(1, 1), Position(20)).await;

    let (stop, worker) = spawn(stage.projector_with(Duration::from_secs(2)).await);
    let first = acks.next().await.unwrap();
    assert_eq!(first.payload, Bytes::from(AckKind::Progress));
    assert_eq!(stage.consumer().await.num_redelivered, 0);

    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn a_stopping_projector_gives_what_it_could_not_apply_to_another_at_once() {
    let mut stage = Stage::set().await;
    stage.hold(&lamp(1, 1), 10).await;
    stage.redis.kill9();
    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;
    let mut stopping = stage.projector().await;
    holds(async || matches!(stopping.project_pending().await, Err(ProjectError::Cache(_)))).await;

    stopping.release().await;
    stage.redis.start_again();
    stage.hold(&lamp(1, 1), 10).await;

    take(&mut stage.projector().await, 1).await;
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(2));
}

#[tokio::test]
async fn a_killed_nats_is_followed_again_when_it_is_back() {
    let mut stage = Stage::set().await;
    stage.hold(&lamp(1, 1), 10).await;
    let (stop, worker) = spawn(stage.projector().await);
    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;
    holds(async || stage.held_version(lamp(1, 1).id).await == Some(2)).await;

    stage.nats.kill9();
    stage.nats.start_again();
    let mut publisher = Publisher::new(stage.nats.url(), EPOCH).await;
    publisher.changed(Some(&lamp(1, 2)), &lamp(1, 3), Position(30)).await;

    holds(async || stage.held_version(lamp(1, 1).id).await == Some(3)).await;
    stop.cancel();
    worker.await.unwrap();
}

#[tokio::test]
async fn a_deleted_consumer_is_made_again_and_misses_nothing() {
    let mut stage = Stage::set().await;
    stage.hold(&lamp(1, 1), 10).await;
    let mut projector = stage.projector().await;
    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;
    take(&mut projector, 1).await;

    let stream = stage.jetstream().await.get_stream(STREAM).await.unwrap();
    stream.delete_consumer("projector").await.unwrap();
    stage.publisher.changed(Some(&lamp(1, 2)), &lamp(1, 3), Position(30)).await;

    // The new one begins with what the stream holds; a repeated event changes nothing.
    take(&mut projector, 2).await;
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(3));
}
