//! Messages that cannot be decoded.

use async_nats::jetstream::stream;
use events::{DEAD_LETTER_STREAM, Heartbeat, Position, Stamp};
use freshet_projector::ProjectError;
use uuid::Uuid;

use crate::stage::{EPOCH, Stage, lamp, take};

#[tokio::test]
async fn a_message_that_cannot_be_decoded_is_kept_with_its_reason_and_the_next_events_go_on() {
    let mut stage = Stage::set().await;
    stage.hold(&lamp(1, 1), 10).await;
    stage.publisher.changed(None, &lamp(2, 1), Position(15)).await;
    stage.publisher.raw("catalog.products.updated.1", b"{\"price\": 1".to_vec()).await;
    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;

    let mut projector = stage.projector().await;
    take(&mut projector, 3).await;

    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(2));
    let letters = stage.jetstream().await.get_stream(DEAD_LETTER_STREAM).await.unwrap();
    let letter = letters.get_raw_message(1).await.unwrap();
    assert_eq!(letter.subject.as_str(), "catalog.dlq.projector");
    assert_eq!(&letter.payload[..], b"{\"price\": 1");
    let header = |name| letter.headers.get(name).unwrap().as_str();
    assert_eq!(header("Dead-Letter-Subject"), "catalog.products.updated.1");
    assert_eq!(header("Dead-Letter-Sequence"), "2");
    assert!(header("Dead-Letter-Reason").starts_with("not a CloudEvent of this catalogue: EOF"));
    projector.release().await;
    testkit::holds(async || stage.consumer().await.num_ack_pending == 0).await;
}

#[tokio::test]
async fn a_heartbeat_on_the_subject_of_a_product_is_a_dead_letter() {
    let stage = Stage::set().await;
    let heartbeat = Heartbeat { t: time::OffsetDateTime::UNIX_EPOCH, h: Position(9) };
    let stamp = Stamp { epoch: EPOCH, position: Position(9), previous: None };
    let (_, payload) = heartbeat.to_message(Uuid::from_u128(1), stamp);
    stage.publisher.raw("catalog.products.updated.1", payload).await;

    take(&mut stage.projector().await, 1).await;

    let letters = stage.jetstream().await.get_stream(DEAD_LETTER_STREAM).await.unwrap();
    assert_eq!(letters.cached_info().state.messages, 1);
}

#[tokio::test]
async fn a_dead_letter_that_cannot_be_stored_is_kept_in_hand_until_it_can() {
    let mut stage = Stage::set().await;
    let jetstream = stage.jetstream().await;
    let tiny = stream::Config {
        name: DEAD_LETTER_STREAM.to_owned(),
        subjects: vec!["catalog.dlq.>".to_owned()],
        max_message_size: 1,
        ..stream::Config::default()
    };
    jetstream.create_stream(tiny.clone()).await.unwrap();
    stage.hold(&lamp(1, 1), 10).await;
    stage.publisher.raw("catalog.products.updated.7", b"no event".to_vec()).await;
    stage.publisher.raw("catalog.products.updated.8", b"no event either".to_vec()).await;
    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;

    let mut projector = stage.projector().await;
    testkit::holds(async || matches!(projector.project_pending().await, Err(ProjectError::DeadLetter(_)))).await;
    assert_eq!(stage.held_version(lamp(1, 1).id).await, Some(2), "the events beside it are applied");
    jetstream.update_stream(stream::Config { max_message_size: -1, ..tiny }).await.unwrap();
    take(&mut projector, 2).await;

    let letters = jetstream.get_stream(DEAD_LETTER_STREAM).await.unwrap();
    assert_eq!(letters.cached_info().state.messages, 2);
}
