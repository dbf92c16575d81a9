//! What a row of the benchmarks is, the lines it measures, and whether they meet their bars.

use std::fmt;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::{Bench, bulk, cold, hot, memory, miss, page_memory, pages, patch, propagation, replay};

/// One question that the benchmarks answer.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What is measured, and how, for readers of the report.
    pub(crate) meaning: &'static str,
    /// Demo products in the catalogue when it is measured.
    pub(crate) products: u32,
    /// Debian packages beside those of a stack.
    pub(crate) packages: &'static [&'static str],
    pub(crate) measure: fn(&mut Bench) -> Result<Vec<Line>>,
}

pub(crate) const ROWS: [Row; 16] = [
    hot::GET,
    hot::NGINX,
    hot::REDIS,
    miss::MISS,
    propagation::PROPAGATION,
    patch::PATCH,
    bulk::BULK,
    memory::MEMORY,
    replay::REPLAY,
    hot::CPU,
    pages::HOT,
    cold::PAGES,
    cold::PAGES_OF_A_MILLION,
    page_memory::PAGE_MEMORY,
    pages::HITS,
    pages::TRUTH,
];

/// The same thing measured on two sides in the same rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    pub(crate) ours: Side,
    pub(crate) other: Side,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) bar: Option<Bar>,
}

/// One side of a line: a value for each round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) rounds: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    RequestsPerSecond,
    ChangesPerSecond,
    MicrosecondsOfCpu,
    Milliseconds,
    Seconds,
    Bytes,
    /// Of all answers.
    Share,
    Pages,
}

/// What a line must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Bar {
    /// Of the median over the rounds of ours divided by the other.
    RatioAtLeast(f64),
    /// Of our median over the rounds, in the line's unit.
    OursAtMost(f64),
    OursAtLeast(f64),
}

impl Side {
    pub(crate) fn new(name: &str, rounds: Vec<f64>) -> Self {
        Self { name: name.to_owned(), rounds }
    }

    pub(crate) fn median(&self) -> f64 {
        median(&self.rounds)
    }
}

impl Line {
    /// Ours divided by the other, round by round: what slows a whole round slows both.
    pub(crate) fn ratios(&self) -> Vec<f64> {
        self.ours.rounds.iter().zip(&self.other.rounds).map(|(ours, other)| ours / other).collect()
    }

    pub(crate) fn ratio(&self) -> f64 {
        median(&self.ratios())
    }

    /// `None` if nothing is demanded. What cannot be told (no rounds, 0 divided by 0) does not hold.
    pub(crate) fn holds(&self) -> Option<bool> {
        Some(match self.bar? {
            Bar::RatioAtLeast(least) => self.ratio() >= least,
            Bar::OursAtMost(most) => self.ours.median() <= most,
            Bar::OursAtLeast(least) => self.ours.median() >= least,
        })
    }

    /// The bar as text, with the line's unit.
    pub(crate) fn demand(&self) -> String {
        match self.bar {
            None => String::new(),
            Some(Bar::RatioAtLeast(least)) => format!("ratio ≥ {least}"),
            Some(Bar::OursAtMost(most)) => format!("≤ {most} {}", self.unit),
            Some(Bar::OursAtLeast(least)) => format!("≥ {least} {}", self.unit),
        }
    }
}

impl Unit {
    pub(crate) const fn is_more_better(self) -> bool {
        matches!(self, Self::RequestsPerSecond | Self::ChangesPerSecond | Self::Share)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestsPerSecond => "requests/s",
            Self::ChangesPerSecond => "changes/s",
            Self::MicrosecondsOfCpu => "µs CPU",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Share => "of all",
            Self::Pages => "pages",
        })
    }
}

/// The middle value, or the mean of the two in the middle; not a number if there is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[odd / 2],
        even => f64::midpoint(sorted[even / 2 - 1], sorted[even / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ours: &[f64], other: &[f64], bar: Option<Bar>) -> Line {
        Line {
            what: "GET".to_owned(),
            unit: Unit::Milliseconds,
            ours: Side::new("ours", ours.to_vec()),
            other: Side::new("other", other.to_vec()),
            bar,
        }
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert!((median(&[9.0, 1.0, 5.0]) - 5.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0, 2.0, 100.0]) - 3.0).abs() < f64::EPSILON);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_is_the_median_of_the_rounds_and_not_the_ratio_of_the_medians() {
        let line = line(&[10.0, 20.0, 90.0], &[10.0, 40.0, 100.0], None);
        assert!((line.ratio() - 0.9).abs() < f64::EPSILON);
    }

    #[test]
    fn a_bar_holds_at_its_value_and_not_beside_it() {
        let at_least = |ours| line(&[ours], &[100.0], Some(Bar::RatioAtLeast(0.85))).holds();
        assert_eq!((at_least(85.0), at_least(84.9)), (Some(true), Some(false)));
        let at_most = |ours| line(&[ours], &[1.0], Some(Bar::OursAtMost(10.0))).holds();
        assert_eq!((at_most(10.0), at_most(10.1)), (Some(true), Some(false)));
        assert_eq!(line(&[1.0], &[1.0], None).holds(), None);
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        for bar in [Bar::RatioAtLeast(0.85), Bar::OursAtMost(10.0)] {
            assert_eq!(line(&[], &[], Some(bar)).holds(), Some(false));
        }
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }
}
