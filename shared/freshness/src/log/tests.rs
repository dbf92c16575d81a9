//! What one follower makes of a stream, message by message.

use catalog::ListFields;
use events::{Change, ProductEvent, Stamp};
use time::OffsetDateTime;

use super::*;

const HORIZON: Duration = Duration::from_mins(10);
const NOW: Duration = Duration::from_secs(1);

fn id(id: i64) -> ProductId {
    id.try_into().expect("positive")
}

fn version(version: i64) -> Version {
    version.try_into().expect("not negative")
}

/// A stream of messages, each naming the one before it.
struct Stream {
    epoch: u64,
    last: u128,
    previous: Option<Uuid>,
}

impl Stream {
    fn of(epoch: u64) -> Self {
        Self { epoch, last: 0, previous: None }
    }

    fn stamp(&mut self, position: u64) -> (Uuid, Stamp) {
        self.last += 1;
        let id = Uuid::from_u128(self.last);
        let stamp = Stamp { epoch: Epoch(self.epoch), position: Position(position), previous: self.previous };
        self.previous = Some(stamp.link(id));
        (id, stamp)
    }

    fn deleted(&mut self, product: i64, at: i64, position: u64) -> Message {
        let (event_id, stamp) = self.stamp(position);
        let before: ListFields = serde_json::from_str(
            r#"{"sku":"A","name":"A","brand":null,"category":null,"price":"1.00","currency":"USD","stock":0}"#,
        )
        .expect("list fields");
        let change = Change { id: id(product), version: version(at), before: Some(before), after: None, words: None };
        Message::Product(Box::new(ProductEvent { event_id, time: OffsetDateTime::UNIX_EPOCH, stamp, change }))
    }

    fn heartbeat(&mut self, position: u64) -> Message {
        let (id, stamp) = self.stamp(position);
        let heartbeat = Heartbeat { t: OffsetDateTime::UNIX_EPOCH, h: Position(position) };
        Message::Heartbeat { id, stamp, heartbeat }
    }
}

fn entry(epoch: u64, at: i64, read_at: u64) -> Provenance {
    Provenance { epoch: Epoch(epoch), version: version(at), read_at: Position(read_at) }
}

fn begun() -> (Log, Stream) {
    let (mut log, mut stream) = (Log::new(HORIZON), Stream::of(5));
    assert_eq!(log.apply(&stream.heartbeat(100), NOW), Applied::NewEpoch);
    (log, stream)
}

#[test]
fn nothing_cached_is_admitted_before_the_log_has_begun() {
    let mut log = Log::new(HORIZON);
    assert_eq!(log.admit_cached(id(1), entry(0, 9, 900)), Err(Rejection::OtherEpoch));
    assert_eq!(log.admit_row(id(1), entry(5, 9, 900)), Ok(()));
    assert_eq!(log.admit_cached(id(1), entry(5, 9, 900)), Err(Rejection::OtherEpoch));
}

#[test]
fn an_event_raises_the_floor_for_every_source() {
    let (mut log, mut stream) = begun();
    assert_eq!(log.apply(&stream.deleted(1, 3, 110), NOW), Applied::Next);
    assert_eq!(log.admit_cached(id(1), entry(5, 2, 200)), Err(Rejection::BelowFloor));
    assert_eq!(log.admit_row(id(1), entry(5, 2, 200)), Err(Rejection::BelowFloor));
    assert_eq!(log.admit_row(id(1), entry(5, 3, 200)), Ok(()));
    assert_eq!(log.admit_row(id(2), entry(5, 0, 200)), Ok(()));
}

#[test]
fn an_entry_read_at_the_very_start_proves_nothing() {
    let (log, _) = begun();
    assert_eq!(log.admit_cached(id(1), entry(5, 1, 100)), Err(Rejection::BeforeStart));
    assert_eq!(log.admit_cached(id(1), entry(5, 1, 101)), Ok(()));
}

#[test]
fn a_gap_moves_the_start_and_keeps_the_floors() {
    let (mut log, mut stream) = begun();
    log.apply(&stream.deleted(1, 3, 110), NOW);
    stream.heartbeat(120);
    assert_eq!(log.apply(&stream.heartbeat(130), NOW), Applied::Restarted);
    assert_eq!(log.admit_cached(id(2), entry(5, 1, 125)), Err(Rejection::BeforeStart));
    assert_eq!(log.admit_cached(id(1), entry(5, 2, 200)), Err(Rejection::BelowFloor));
}

/// The relay had published a turn and not settled it; the stream has lost it, and the relay sends it again.
#[test]
fn events_that_may_come_again_in_place_of_lost_ones_are_remembered_until_they_do() {
    let (mut log, mut stream) = begun();
    log.apply(&stream.deleted(1, 1, 110), NOW);
    log.apply(&stream.deleted(2, 2, 110), NOW);
    let mut again = Stream::of(5);
    assert_eq!(log.apply(&again.heartbeat(100), NOW), Applied::Restarted);
    assert_eq!(log.apply(&again.deleted(1, 1, 120), NOW + HORIZON + NOW), Applied::Next);
    assert_eq!(log.apply(&again.heartbeat(121), NOW + HORIZON + NOW + HORIZON + NOW), Applied::Next);
    assert_eq!((log.floor(id(1)), log.floor(id(2))), (Version::ABSENT, version(2)));
    assert_eq!(log.apply(&again.deleted(2, 2, 130), NOW), Applied::Next);
    assert_eq!(log.remembered(), 1, "the event speaks for it");
}

#[test]
fn the_furthest_turn_is_remembered_until_a_later_one_says_that_it_is_settled() {
    let (mut log, mut stream) = begun();
    log.apply(&stream.deleted(1, 1, 110), NOW);
    log.apply(&stream.deleted(1, 2, 110), NOW);
    log.forget_old(NOW + HORIZON + NOW);
    assert_eq!(log.admit_cached(id(1), entry(5, 1, 120)), Err(Rejection::BelowFloor));
    log.apply(&stream.heartbeat(111), NOW + HORIZON + NOW);
    assert_eq!(log.floor(id(1)), Version::ABSENT);
}

/// The same event may come under the same id, so the position tells.
#[test]
fn what_follows_an_event_that_was_sent_again_is_a_gap_for_whoever_has_seen_it_before() {
    let (mut log, mut stream) = begun();
    let mut again = Stream { previous: stream.previous, last: stream.last, ..Stream::of(5) };
    log.apply(&stream.deleted(1, 1, 110), NOW);
    again.deleted(1, 1, 120);
    assert_eq!(log.apply(&again.heartbeat(120), NOW), Applied::Restarted);
}

#[test]
fn a_stream_that_is_heard_again_and_has_lost_nothing_goes_on_where_it_was() {
    let (mut log, mut stream) = begun();
    log.apply(&stream.deleted(1, 1, 110), NOW);
    let mut again = Stream::of(5);
    assert_eq!(log.apply(&again.heartbeat(100), NOW), Applied::Restarted);
    assert_eq!(log.apply(&again.deleted(1, 1, 110), NOW), Applied::Next);
    assert_eq!(log.apply(&again.deleted(1, 2, 120), NOW), Applied::Next);
    assert_eq!(log.admit_cached(id(2), entry(5, 1, 111)), Ok(()));
}

#[test]
fn a_higher_epoch_voids_everything_and_a_lower_one_says_nothing() {
    let (mut log, mut stream) = begun();
    log.apply(&stream.deleted(1, 9, 110), NOW);
    let mut next = Stream { epoch: 6, ..stream };
    assert_eq!(log.apply(&next.heartbeat(50), NOW), Applied::NewEpoch);
    assert_eq!(log.admit_cached(id(1), entry(5, 9, 200)), Err(Rejection::OtherEpoch));
    assert_eq!(log.admit_cached(id(1), entry(6, 8, 60)), Ok(()));
    assert_eq!(log.apply(&stream.deleted(1, 10, 120), NOW), Applied::Ignored);
    assert_eq!(log.floor(id(1)), Version::ABSENT);
}

#[test]
fn a_row_of_a_higher_epoch_is_news_of_that_epoch() {
    let (mut log, mut stream) = begun();
    log.apply(&stream.deleted(1, 9, 110), NOW);
    assert_eq!(log.admit_row(id(1), entry(6, 8, 20)), Ok(()));
    assert_eq!(log.admit_cached(id(1), entry(6, 8, 20)), Err(Rejection::OtherEpoch));
    assert_eq!(log.admit_row(id(1), entry(5, 9, 200)), Err(Rejection::OtherEpoch));
}

#[test]
fn a_page_that_found_nothing_is_bound_by_epoch_and_start() {
    let (mut log, _) = begun();
    assert_eq!(log.admit_page(Epoch(4), Position(200)), Err(Rejection::OtherEpoch));
    assert_eq!(log.admit_page(Epoch(5), Position(100)), Err(Rejection::BeforeStart));
    assert_eq!(log.admit_page(Epoch(5), Position(101)), Ok(()));
    assert_eq!(log.admit_page(Epoch(6), Position(1)), Ok(()));
    assert_eq!(log.epoch(), Epoch(6));
}

#[test]
fn what_the_horizon_forgets_moves_the_start_past_it() {
    let (mut log, mut stream) = begun();
    log.apply(&stream.deleted(1, 3, 110), NOW);
    log.apply(&stream.heartbeat(120), NOW + HORIZON + NOW);
    assert_eq!(log.floor(id(1)), Version::ABSENT);
    assert_eq!(log.admit_cached(id(1), entry(5, 2, 110)), Err(Rejection::BeforeStart));
    assert_eq!(log.admit_cached(id(1), entry(5, 3, 111)), Ok(()));
}

#[test]
fn an_answer_is_remembered_until_the_log_has_shown_it() {
    let (mut log, mut stream) = begun();
    log.answered(id(1), entry(5, 4, 500));
    log.apply(&stream.heartbeat(900), NOW + HORIZON + NOW);
    assert_eq!(log.admit_cached(id(1), entry(5, 3, 950)), Err(Rejection::BelowFloor));
    log.apply(&stream.deleted(1, 4, 950), NOW + HORIZON + NOW);
    assert_eq!(log.remembered(), 1, "the event speaks for it");
    log.apply(&stream.heartbeat(960), NOW + HORIZON + NOW + HORIZON + NOW);
    assert_eq!(log.remembered(), 0);
    assert_eq!(log.admit_cached(id(1), entry(5, 3, 940)), Err(Rejection::BeforeStart));
}

#[test]
fn an_older_event_does_not_take_an_answer_along_when_it_is_forgotten() {
    let (mut log, mut stream) = begun();
    log.answered(id(1), entry(5, 4, 500));
    log.apply(&stream.deleted(1, 3, 110), NOW);
    log.apply(&stream.heartbeat(120), NOW + HORIZON + NOW);
    assert_eq!(log.floor(id(1)), version(4));
}

#[test]
fn a_heartbeat_that_is_heard_again_takes_nothing_back() {
    let (mut log, mut stream) = begun();
    let again = Stream { last: stream.last, ..Stream::of(5) }.heartbeat(110);
    log.apply(&stream.heartbeat(120), NOW);
    let generation = log.generation();
    assert_eq!(log.apply(&again, NOW), Applied::Restarted);
    assert_eq!(log.position(), Some(Position(120)));
    assert!(log.generation() > generation);
}
