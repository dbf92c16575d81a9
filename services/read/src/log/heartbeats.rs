//! When the last heartbeats arrived: lag measured without comparing the clocks of two machines.

use std::collections::VecDeque;
use std::time::Duration;

use events::{Epoch, Heartbeat, Position};
use time::OffsetDateTime;

/// The heartbeats of one epoch that arrived within the tolerated lag, in order.
#[derive(Debug)]
pub(super) struct Heartbeats {
    lag_max: Duration,
    epoch: Epoch,
    arrived: VecDeque<(Duration, Heartbeat)>,
}

impl Heartbeats {
    pub(super) const fn new(lag_max: Duration) -> Self {
        Self { lag_max, epoch: Epoch(0), arrived: VecDeque::new() }
    }

    pub(super) fn record(&mut self, now: Duration, epoch: Epoch, heartbeat: Heartbeat) {
        if epoch != self.epoch {
            self.arrived.clear();
            self.epoch = epoch;
        }
        self.arrived.push_back((now, heartbeat));
        // The last one stays, however old: its age is a metric.
        while self.arrived.len() > 1 && self.is_too_old(now, self.arrived[0].0) {
            self.arrived.pop_front();
        }
    }

    /// The *h* of the oldest heartbeat that is not older than the tolerated lag: a replica at it lags no more than that.
    pub(super) fn oldest_tolerated(&self, now: Duration, epoch: Epoch) -> Option<Position> {
        if epoch != self.epoch {
            return None;
        }
        self.arrived.iter().find(|(arrived, _)| !self.is_too_old(now, *arrived)).map(|(_, beat)| beat.h)
    }

    /// The *t* of the newest heartbeat that a source at `read_at` has replayed: it has every write acknowledged before.
    pub(super) fn newest_within(&self, epoch: Epoch, read_at: Position) -> Option<OffsetDateTime> {
        if epoch != self.epoch {
            return None;
        }
        let within = self.arrived.partition_point(|(_, beat)| beat.h <= read_at);
        Some(self.arrived.get(within.checked_sub(1)?)?.1.t)
    }

    /// When the last one arrived.
    pub(super) fn last(&self) -> Option<Duration> {
        self.arrived.back().map(|(arrived, _)| *arrived)
    }

    fn is_too_old(&self, now: Duration, arrived: Duration) -> bool {
        now.saturating_sub(arrived) > self.lag_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAG_MAX: Duration = Duration::from_secs(5);
    const EPOCH: Epoch = Epoch(7);

    /// A heartbeat at this position, and as many seconds after 1970.
    fn beat(h: u64) -> Heartbeat {
        Heartbeat { t: moment(h), h: Position(h) }
    }

    fn moment(seconds: u64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn heartbeats() -> Heartbeats {
        let mut heartbeats = Heartbeats::new(LAG_MAX);
        for second in 1..=10 {
            heartbeats.record(Duration::from_secs(second), EPOCH, beat(second * 100));
        }
        heartbeats
    }

    #[test]
    fn a_replica_may_lack_what_is_younger_than_the_tolerated_lag() {
        let now = Duration::from_secs(10);
        assert_eq!(heartbeats().oldest_tolerated(now, EPOCH), Some(Position(500)));
        assert_eq!(heartbeats().oldest_tolerated(now + Duration::from_secs(3), EPOCH), Some(Position(800)));
    }

    #[test]
    fn while_the_log_is_silent_nothing_is_required() {
        assert_eq!(heartbeats().oldest_tolerated(Duration::from_secs(16), EPOCH), None);
        assert_eq!(heartbeats().last(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn positions_of_another_epoch_say_nothing() {
        let mut heartbeats = heartbeats();
        assert_eq!(heartbeats.oldest_tolerated(Duration::from_secs(10), Epoch(8)), None);
        heartbeats.record(Duration::from_secs(11), Epoch(8), beat(3));
        assert_eq!(heartbeats.oldest_tolerated(Duration::from_secs(11), Epoch(8)), Some(Position(3)));
    }

    #[test]
    fn a_source_vouches_for_the_newest_moment_that_it_has_replayed() {
        let heartbeats = heartbeats();
        assert_eq!(heartbeats.newest_within(EPOCH, Position(599)), Some(moment(500)));
        assert_eq!(heartbeats.newest_within(EPOCH, Position(600)), Some(moment(600)));
        assert_eq!(heartbeats.newest_within(EPOCH, Position(9_999)), Some(moment(1_000)));
        assert_eq!(heartbeats.newest_within(EPOCH, Position(499)), None, "older ones are not remembered");
        assert_eq!(heartbeats.newest_within(Epoch(8), Position(600)), None);
    }
}
