//! How often the primary may be asked: it is there for writes.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Reads of the primary per second, of this node.
#[derive(Debug)]
pub(super) struct Budget {
    all: DefaultDirectRateLimiter,
    /// Half of them at most are for tokens, which clients may make up.
    for_tokens: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

impl Budget {
    pub(super) fn new(per_second: NonZeroU32) -> Self {
        let half = per_second.div_ceil(NonZeroU32::MIN.saturating_add(1));
        let limiter = |per_second| RateLimiter::direct(Quota::per_second(per_second));
        Self { all: limiter(per_second), for_tokens: limiter(half), clock: DefaultClock::default() }
    }

    /// Takes one read, or says when the next one is free.
    pub(super) fn take(&self) -> Result<(), Duration> {
        self.take_of(&self.all)
    }

    /// The same for a read that only a token keeps from the replicas.
    pub(super) fn take_for_token(&self) -> Result<(), Duration> {
        self.take_of(&self.for_tokens)?;
        self.take()
    }

    fn take_of(&self, limiter: &DefaultDirectRateLimiter) -> Result<(), Duration> {
        limiter.check().map_err(|refused| {
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

    #[test]
    fn tokens_leave_half_of_the_budget_to_other_reads() {
        let budget = Budget::new(NonZeroU32::new(4).expect("four"));
        assert!(budget.take_for_token().is_ok());
        assert!(budget.take_for_token().is_ok());
        assert!(budget.take_for_token().is_err());
        assert!(budget.take().is_ok());
        assert!(budget.take().is_ok());
        assert!(budget.take().is_err());
    }
}
