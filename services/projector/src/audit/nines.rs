//! How soon sampled changes were seen, as shares within fixed times. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Tier;

/// The times within which shares are given.
pub(super) const WITHIN: [Duration; 4] =
    [Duration::from_millis(10), Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(10)];

/// What one sample showed of one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A sampled change was seen by a question that was asked this long after it was made.
    Shown(Duration),
    /// A sampled change was not seen in the time that it was looked for.
    Late,
    /// A product that was sampled for no change of its own.
    Checked,
    /// Redis holds nothing of the product, so nothing old.
    Empty,
    /// There was no answer.
    Away,
    /// The primary was away, or the epoch not the same throughout.
    Unsettled,
}

impl Outcome {
    /// The words in metrics.
    pub(super) const WORDS: [&str; 6] = ["shown", "late", "checked", "empty", "away", "unsettled"];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Shown(_) => Self::WORDS[0],
            Self::Late => Self::WORDS[1],
            Self::Checked => Self::WORDS[2],
            Self::Empty => Self::WORDS[3],
            Self::Away => Self::WORDS[4],
            Self::Unsettled => Self::WORDS[5],
        }
    }
}

/// The outcomes of one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Nines {
    /// Changes that were seen within each of [`WITHIN`].
    within: [u64; WITHIN.len()],
    /// Changes that were looked for.
    pub(super) changes: u64,
    pub(super) checked: u64,
    pub(super) empty: u64,
    pub(super) away: u64,
    pub(super) unsettled: u64,
}

impl Nines {
    pub(super) fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Shown(lag) => {
                self.changes += 1;
                for (within, limit) in self.within.iter_mut().zip(WITHIN) {
                    *within += u64::from(lag <= limit);
                }
            }
            Outcome::Late => self.changes += 1,
            Outcome::Checked => self.checked += 1,
            Outcome::Empty => self.empty += 1,
            Outcome::Away => self.away += 1,
            Outcome::Unsettled => self.unsettled += 1,
        }
    }

    /// The share of changes seen within each of [`WITHIN`], such as `99.95 %`; a dash if there were none.
    pub(super) fn shares(&self) -> [String; WITHIN.len()] {
        self.within.map(|within| share(within, self.changes))
    }
}

/// The outcomes of every tier.
pub(super) type Tally = BTreeMap<Tier, Nines>;

/// Rounded down, so that only all of them are 100 %.
fn share(part: u64, whole: u64) -> String {
    match (part.saturating_mul(100_000)).checked_div(whole) {
        None => "-".to_owned(),
        Some(100_000) => "100 %".to_owned(),
        Some(thousandths) => format!("{}.{:03} %", thousandths / 1_000, thousandths % 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_within_every_time_that_it_was_seen_in() {
        let mut nines = Nines::default();
        for lag_us in [10_000, 10_001, 100_000, 1_000_000, 9_999_999, 10_000_001] {
            nines.count(Outcome::Shown(Duration::from_micros(lag_us)));
        }
        nines.count(Outcome::Late);
        nines.count(Outcome::Late);
        assert_eq!((nines.within, nines.changes), ([1, 3, 4, 5], 8));
        assert_eq!(nines.shares(), ["12.500 %", "37.500 %", "50.000 %", "62.500 %"]);
    }

    #[test]
    fn what_could_not_be_looked_at_is_no_part_of_the_shares() {
        let mut nines = Nines::default();
        for outcome in [Outcome::Checked, Outcome::Empty, Outcome::Away, Outcome::Unsettled] {
            nines.count(outcome);
        }
        assert_eq!(nines.shares(), ["-"; 4]);
        nines.count(Outcome::Shown(Duration::ZERO));
        assert_eq!(nines.shares(), ["100 %"; 4]);
        assert_eq!((nines.checked, nines.empty, nines.away, nines.unsettled), (1, 1, 1, 1));
    }

    #[test]
    fn a_share_is_never_rounded_up_to_all() {
        assert_eq!(share(999_999, 1_000_000), "99.999 %");
        assert_eq!(share(0, 3), "0.000 %");
        assert_eq!(share(1, 3), "33.333 %");
    }
}
