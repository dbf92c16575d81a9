//! How often one peer may ask.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// How often peers that have used up nothing are forgotten: memory is bounded by those who come within that time and one
/// second, in which every quota fills up again.
const FORGET_INTERVAL: Duration = Duration::from_secs(1);

/// Requests per second, by the peer's address; as many may come at once.
pub(crate) struct Limiter {
    quotas: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    begun: Instant,
    /// Since `begun`.
    forget_at_ms: AtomicU64,
}

impl Limiter {
    pub(crate) fn new(per_second: NonZeroU32) -> Self {
        let quotas = RateLimiter::keyed(Quota::per_second(per_second));
        Self { quotas, clock: DefaultClock::default(), begun: Instant::now(), forget_at_ms: AtomicU64::new(0) }
    }

    /// Takes one request of this peer's, or says when the next one is free.
    pub(crate) fn take(&self, peer: IpAddr) -> Result<(), Duration> {
        self.forget_idle();
        self.quotas.check_key(&network(peer)).map_err(|refused| {
            // Never "at once": `Retry-After` counts in seconds.
            refused.wait_time_from(self.clock.now()).max(Duration::from_millis(1))
        })
    }

    fn forget_idle(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.forget_at_ms.load(Ordering::Relaxed);
        let next = now + u64::try_from(FORGET_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        // Whoever moves the time on does it.
        if now >= due && self.forget_at_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.quotas.retain_recent();
        }
    }
}

/// What counts as one peer: of IPv6 the network, since whoever has one of its addresses has them all.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_peer_has_its_own_quota_and_is_told_when_to_come_again() {
        let limiter = Limiter::new(NonZeroU32::new(2).expect("two"));
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert!(limiter.take(one).is_ok() && limiter.take(one).is_ok());
        assert!(limiter.take(one).is_err_and(|wait| wait > Duration::ZERO));
        assert!(limiter.take(other).is_ok());
    }

    #[test]
    fn an_ipv6_network_is_one_peer_and_a_mapped_address_is_the_ipv4_one() {
        assert_eq!(network(address("2001:db8::1")), network(address("2001:db8::ffff:2")));
        assert_ne!(network(address("2001:db8::1")), network(address("2001:db8:0:1::1")));
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }

    #[test]
    fn peers_that_have_used_up_nothing_are_forgotten() {
        let limiter = Limiter::new(NonZeroU32::new(1_000_000).expect("many"));
        for number in 0..1_000_u32 {
            assert!(limiter.take(std::net::Ipv4Addr::from_bits(number).into()).is_ok());
        }
        limiter.forget_at_ms.store(0, Ordering::Relaxed);
        assert!(limiter.take(address("192.0.2.1")).is_ok());
        assert!(limiter.quotas.len() < 500, "{}", limiter.quotas.len());
    }
}
