//! How often the primary may be asked: it is there for writes.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Reads of the primary per second, of this node.
#[derive(Debug)]
pub(super) struct Budget {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Budget {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::direct(Quota::per_second(per_second)), clock: DefaultClock::default() }
    }

    /// Takes one read, or says when the next one is free.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.limiter.check().map_err(|refused| {
            let wait = refused.wait_time_from(self.clock.now());
            // Never "at once": `Retry-After` counts in seconds.
            wait.max(Duration::from_millis(1))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_budget_is_refused_with_a_time() {
        let budget = Budget::new(NonZeroU32::new(2).expect("two"));
        assert!(budget.take().is_ok());
        assert!(budget.take().is_ok());
        assert!(budget.take().is_err_and(|wait| wait > Duration::ZERO));
    }
}
