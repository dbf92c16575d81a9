//! The projector's metrics: names, meanings and where they are recorded.

use events::ChangeKind;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use time::OffsetDateTime;

use crate::batch::Batch;
use crate::dead_letters::Undecodable;

const EVENTS: &str = "freshet_projector_events_total";
const REFRESHED: &str = "freshet_projector_refreshed_total";
const BATCH_SIZE: &str = "freshet_projector_batch_size";
const LAG: &str = "freshet_projection_lag_seconds";
const PENDING: &str = "freshet_projector_pending";
const DEAD_LETTERS: &str = "freshet_dead_letters_total";

const KINDS: [ChangeKind; 3] = [ChangeKind::Created, ChangeKind::Updated, ChangeKind::Deleted];

/// Says what each metric means, and shows every counter from 0.
pub(crate) fn describe() {
    describe_counter!(EVENTS, "Events applied, by kind; a repeated event counts again");
    describe_counter!(REFRESHED, "Entries that an event has brought up to date in Redis");
    describe_histogram!(BATCH_SIZE, "Events applied together");
    describe_histogram!(LAG, Unit::Seconds, "From the event's time to its effect in Redis, by two machines' clocks");
    describe_gauge!(PENDING, "Events in the stream that no projector has been given yet");
    describe_counter!(DEAD_LETTERS, "Messages that could not be decoded, by reason");
    for kind in KINDS {
        counter!(EVENTS, "kind" => kind.word()).absolute(0);
    }
    for reason in Undecodable::WORDS {
        counter!(DEAD_LETTERS, "reason" => reason).absolute(0);
    }
    counter!(REFRESHED).absolute(0);
}

/// The events of a batch have had their effect.
pub(crate) fn applied(batch: &Batch, written: usize) {
    let now = OffsetDateTime::now_utc();
    for (_, event) in &batch.events {
        counter!(EVENTS, "kind" => event.change.kind().word()).increment(1);
        histogram!(LAG).record((now - event.time).as_seconds_f64().max(0.0));
    }
    counter!(REFRESHED).increment(written as u64);
    #[expect(clippy::cast_precision_loss, reason = "a batch has at most some hundred events")]
    histogram!(BATCH_SIZE).record(batch.events.len() as f64);
}

pub(crate) fn dead_letter(reason: &Undecodable) {
    counter!(DEAD_LETTERS, "reason" => reason.word()).increment(1);
}

pub(crate) fn pending(events: u64) {
    #[expect(clippy::cast_precision_loss, reason = "a backlog beyond 2^53 cannot be")]
    gauge!(PENDING).set(events as f64);
}
