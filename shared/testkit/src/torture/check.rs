//! Judges a history: which promise it breaks, and where. Pure.
//!
//! Architecture invariant: nothing here knows how the service works. What is read is compared with what was
//! acknowledged, by the order of the clients' own clock, and with what the answers' headers promise.

mod acks;
#[cfg(test)]
mod good;
mod key;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::history::{History, Key, Mark, Moment, Outcome, Read, Write};

/// Violations of one rule that are kept with their details; the rest is only counted.
const KEPT_MAX: usize = 20;

/// What a history must not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// An acknowledged write is not in the primary at the end.
    LostWrite,
    /// A read with a write's token does not include the write.
    StaleWithToken,
    /// A read lacks a write that was acknowledged before its `Catalog-As-Of`.
    OlderThanAsOf,
    /// One life of a node answered with an older version after a newer one.
    Backwards,
    /// A read shows what nobody wrote, what was refused, or what was written only later.
    Phantom,
    /// Two answers show one version with different bytes.
    TwoContents,
    /// One write made two versions.
    AppliedTwice,
    /// A write that began after another's answer got no higher version.
    WritesOutOfOrder,
    /// A node does not show what the primary has, long after everything was healed.
    NotConverged,
}

/// One break of one rule.
#[derive(Clone, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub key: Key,
    /// When it showed.
    pub at: Moment,
    pub detail: String,
}

/// What came of a check.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Of each rule, the first ones found.
    pub violations: Vec<Violation>,
    pub counts: BTreeMap<Rule, usize>,
    pub staleness: Staleness,
}

/// How old answers were, of reads without a token: the time from the answer to the first write that a read lacks until the
/// read began. No promise is broken by it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Staleness {
    pub stale_reads: usize,
    pub max_micros: u32,
}

/// Judges a whole run.
pub fn check(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    key::check_all(history, &mut verdict);
    verdict
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.counts.is_empty()
    }

    fn add(&mut self, rule: Rule, key: Key, at: Moment, detail: String) {
        let count = self.counts.entry(rule).or_default();
        *count += 1;
        if *count <= KEPT_MAX {
            self.violations.push(Violation { rule, key, at, detail });
        }
    }
}

impl Rule {
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostWrite => "lost_write",
            Self::StaleWithToken => "stale_with_token",
            Self::OlderThanAsOf => "older_than_as_of",
            Self::Backwards => "backwards_on_one_node",
            Self::Phantom => "phantom",
            Self::TwoContents => "one_version_two_contents",
            Self::AppliedTwice => "applied_twice",
            Self::WritesOutOfOrder => "writes_out_of_order",
            Self::NotConverged => "not_converged",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: product {}, at {}: {}", self.rule.name(), self.key, self.at, self.detail)
    }
}
