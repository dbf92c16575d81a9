//! What the relay measures, and how far the outbox is behind; also while nothing can be published.

use std::time::{Duration, Instant};

use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::outbox::{self, Backlog};
use super::turn::RelayError;

const IS_LEADER: &str = "freshet_relay_is_leader";
const EPOCH: &str = "freshet_epoch";
const EPOCHS_BEGUN: &str = "freshet_epochs_begun_total";
const EVENTS: &str = "freshet_relay_events_total";
const FAILURES: &str = "freshet_relay_failures_total";
const UNSEATED: &str = "freshet_relay_unseated_total";
const CLOCK_STEP_BACK: &str = "freshet_relay_clock_step_back_seconds";
const TURN_DURATION: &str = "freshet_relay_turn_duration_seconds";
const PUBLISH_LAG: &str = "freshet_publish_lag_seconds";
const PENDING: &str = "freshet_outbox_pending";
const OLDEST_AGE: &str = "freshet_outbox_oldest_age_seconds";

/// How often the outbox is looked at: a dashboard asks every few seconds.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// More rows than this are not counted, since a look must stay cheap; the oldest one's age goes on growing.
const COUNTED_MAX: i64 = 10_000;

/// Says what the names mean, and shows every counter from 0.
pub(super) fn describe() {
    metrics::describe_gauge!(IS_LEADER, "1 while the relay of this instance leads, else 0");
    metrics::describe_gauge!(EPOCH, "The epoch that the leader publishes in");
    metrics::describe_counter!(EPOCHS_BEGUN, "Epochs that this instance has begun");
    metrics::describe_counter!(EVENTS, "Events that this instance has put into the stream");
    metrics::describe_counter!(FAILURES, "Turns that did not end well, by reason");
    metrics::describe_counter!(UNSEATED, "Silent leaders whose session this instance has ended");
    metrics::describe_gauge!(
        CLOCK_STEP_BACK,
        metrics::Unit::Seconds,
        "How far the primary's clock is behind the latest time announced in this epoch"
    );
    metrics::describe_histogram!(
        TURN_DURATION,
        metrics::Unit::Seconds,
        "One turn of the leader that ended well, heartbeats of an idle catalogue included"
    );
    metrics::describe_histogram!(
        PUBLISH_LAG,
        metrics::Unit::Seconds,
        "From an event's time, shortly before its commit, to the stream's answer, for each event; both by the primary's \
         clock, the second one as read at the turn's start and counted on from there"
    );
    metrics::describe_gauge!(
        PENDING,
        "Committed changes that wait for the stream, up to 10,000; looked at every second"
    );
    metrics::describe_gauge!(
        OLDEST_AGE,
        metrics::Unit::Seconds,
        "How long the first of them has been waiting, by the primary's clock; 0 if there is none"
    );
    set_leader(false);
    for counter in [EPOCHS_BEGUN, EVENTS, UNSEATED] {
        metrics::counter!(counter).absolute(0);
    }
    for reason in RelayError::WORDS {
        metrics::counter!(FAILURES, "reason" => reason).absolute(0);
    }
}

pub(super) fn set_leader(leads: bool) {
    metrics::gauge!(IS_LEADER).set(f64::from(u8::from(leads)));
}

pub(super) fn epoch_begun() {
    metrics::counter!(EPOCHS_BEGUN).increment(1);
}

pub(super) fn failed(error: &RelayError) {
    metrics::counter!(FAILURES, "reason" => error.word()).increment(1);
}

pub(super) fn unseated(sessions: u64) {
    metrics::counter!(UNSEATED).increment(sessions);
}

pub(super) fn clock_stepped_back(by: time::Duration) {
    metrics::gauge!(CLOCK_STEP_BACK).set(by.as_seconds_f64().max(0.0));
}

/// The primary's clock, as far as this process can tell it without asking again.
#[derive(Clone, Copy)]
pub(super) struct PrimaryClock {
    read: OffsetDateTime,
    at: Instant,
}

impl PrimaryClock {
    /// A clock that has just shown `t`.
    pub(super) fn showing(t: OffsetDateTime) -> Self {
        Self { read: t, at: Instant::now() }
    }

    fn now(self) -> OffsetDateTime {
        self.read + self.at.elapsed()
    }
}

/// The stream has answered for all these events, of the given times.
pub(super) fn published(clock: PrimaryClock, epoch: u64, times: impl ExactSizeIterator<Item = OffsetDateTime>) {
    let now = clock.now();
    metrics::counter!(EVENTS).increment(times.len() as u64);
    #[expect(clippy::cast_precision_loss, reason = "an epoch in milliseconds stays below 2^53")]
    metrics::gauge!(EPOCH).set(epoch as f64);
    let lag = metrics::histogram!(PUBLISH_LAG);
    for time in times {
        lag.record((now - time).as_seconds_f64().max(0.0));
    }
}

pub(super) fn turned(begun: Instant) {
    metrics::histogram!(TURN_DURATION).record(begun.elapsed());
}

/// Looks at the outbox until told to stop; in every instance, so that it is seen also when no relay can turn.
pub async fn watch_outbox(pool: PgPool, stop: CancellationToken) -> anyhow::Result<()> {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(looks.tick()).await.is_some() {
        // What is not known keeps its last value: whether the database answers is told elsewhere.
        let Ok(mut connection) = pool.acquire().await else { continue };
        if let Ok(Backlog { rows, oldest_age_s }) = outbox::backlog(&mut connection, COUNTED_MAX).await {
            #[expect(clippy::cast_precision_loss, reason = "the count is limited")]
            metrics::gauge!(PENDING).set(rows as f64);
            metrics::gauge!(OLDEST_AGE).set(oldest_age_s.max(0.0));
        }
    }
    Ok(())
}
