//! When what is to be sent, and what of it is watched: a fixed schedule, and dice that fall alike every time.

use std::time::{Duration, Instant};

/// `per_second` sends a second for a time, evenly spaced.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Schedule {
    /// Sends a second
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// For how long
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// About how many a second are looked at more closely
    #[arg(long, default_value_t = 50)]
    watched: u32,
}

impl Schedule {
    pub(crate) fn count(self) -> u64 {
        u64::from(self.rate) * u64::from(self.seconds)
    }

    pub(crate) fn duration(self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    /// When the send with this number is due.
    pub(crate) fn due(self, begun: Instant, number: u64) -> Instant {
        begun + Duration::from_nanos(number * 1_000_000_000 / u64::from(self.rate))
    }

    pub(crate) fn is_watched(self, number: u64) -> bool {
        dice(number ^ 0x5EED) % u64::from(self.rate) < u64::from(self.watched)
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014) of a number.
pub(crate) fn dice(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
