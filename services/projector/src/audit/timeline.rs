//! The moments that the log has announced, as the auditor heard them: they tell which epoch a `Catalog-As-Of` belongs to,
//! and whether the primary's clock stepped back. Pure.

use std::time::Duration;

use events::Epoch;
use time::OffsetDateTime;

/// Twenty heartbeats: a log that is silent for longer announces nothing that the auditor can hold against an answer.
const SILENCE_MAX: Duration = Duration::from_secs(1);

/// What has been heard of the newest epoch, and where the ones before it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    epoch: Epoch,
    first: Option<OffsetDateTime>,
    last: Option<OffsetDateTime>,
    /// The greatest moment of any lower epoch.
    before: Option<OffsetDateTime>,
    /// When the last heartbeat arrived, by the auditor's clock.
    heard: Option<Duration>,
    /// When a heartbeat last arrived whose moment was not above the one before it: the relay holds it still while the
    /// primary's clock, having stepped back, is behind what was announced.
    held: Option<Duration>,
}

impl Timeline {
    /// A message of this epoch was heard; of a lower one it says nothing.
    pub(super) fn hear_epoch(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            let before = self.before.max(self.last);
            *self = Self { epoch, before, ..Self::default() };
        }
    }

    pub(super) fn hear_heartbeat(&mut self, epoch: Epoch, t: OffsetDateTime, now: Duration) {
        self.hear_epoch(epoch);
        if epoch < self.epoch {
            self.before = self.before.max(Some(t));
            return;
        }
        if self.last.is_some_and(|last| t <= last) {
            self.held = Some(now);
        }
        self.first.get_or_insert(t);
        self.last = self.last.max(Some(t));
        self.heard = Some(now);
    }

    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether the log announces moments now.
    pub(super) fn is_current(&self, now: Duration) -> bool {
        self.heard.is_some_and(|heard| now.saturating_sub(heard) <= SILENCE_MAX)
    }

    /// The newest moment announced, if the log is not silent.
    pub(super) fn announced(&self, now: Duration) -> Option<OffsetDateTime> {
        self.last.filter(|_| self.is_current(now))
    }

    /// Whether a `Catalog-As-Of` is a moment of this epoch; then the whole answer is of this epoch.
    pub(super) fn is_moment_of(&self, epoch: Epoch, as_of: OffsetDateTime) -> bool {
        epoch == self.epoch
            && self.first.is_some_and(|first| as_of >= whole_ms(first))
            && self.before.is_none_or(|before| as_of > before)
    }

    /// Whether the primary's clock was seen to be behind what it had announced, at this time or later.
    pub(super) fn was_held_since(&self, time: Duration) -> bool {
        self.held.is_some_and(|held| held >= time)
    }
}

/// As `Catalog-As-Of` shows a moment: milliseconds, rounded down.
fn whole_ms(t: OffsetDateTime) -> OffsetDateTime {
    t.replace_nanosecond(t.nanosecond() / 1_000_000 * 1_000_000).expect("fewer nanoseconds than it had")
}

#[cfg(test)]
mod tests {
    use time::Duration as Span;

    use super::*;

    const EPOCH: Epoch = Epoch(5);

    fn moment(ms: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Span::milliseconds(ms)
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_moment_belongs_to_the_epoch_that_announced_it() {
        let mut timeline = Timeline::default();
        timeline.hear_heartbeat(EPOCH, moment(100) + Span::microseconds(700), at(1));
        assert!(timeline.is_moment_of(EPOCH, moment(100)), "it is shown rounded down");
        assert!(timeline.is_moment_of(EPOCH, moment(160)), "a node may be ahead of the auditor");
        assert!(!timeline.is_moment_of(EPOCH, moment(99)), "nothing is known of what came before");
        assert!(!timeline.is_moment_of(Epoch(6), moment(160)));
    }

    #[test]
    fn after_a_promotion_to_a_slow_clock_what_the_old_primary_announced_does_not_count() {
        let mut timeline = Timeline::default();
        timeline.hear_heartbeat(EPOCH, moment(500), at(1));
        timeline.hear_heartbeat(Epoch(6), moment(300), at(2));
        assert!(!timeline.is_moment_of(Epoch(6), moment(500)), "from a node that has not heard of the new epoch");
        assert!(timeline.is_moment_of(Epoch(6), moment(501)));
        timeline.hear_heartbeat(EPOCH, moment(600), at(3));
        assert!(!timeline.is_moment_of(Epoch(6), moment(501)), "the old primary still announces");
    }

    #[test]
    fn a_silent_log_announces_nothing() {
        let mut timeline = Timeline::default();
        assert!(!timeline.is_current(at(0)));
        timeline.hear_heartbeat(EPOCH, moment(100), at(10));
        assert_eq!(timeline.announced(at(1_010)), Some(moment(100)));
        assert_eq!(timeline.announced(at(1_011)), None);
    }

    #[test]
    fn a_moment_that_is_announced_again_shows_that_the_clock_stepped_back() {
        let mut timeline = Timeline::default();
        timeline.hear_heartbeat(EPOCH, moment(100), at(1));
        timeline.hear_heartbeat(EPOCH, moment(150), at(50));
        assert!(!timeline.was_held_since(at(0)));
        timeline.hear_heartbeat(EPOCH, moment(150), at(100));
        assert!(timeline.was_held_since(at(100)));
        assert!(!timeline.was_held_since(at(101)));
    }
}
