//! What a run was: how much was written and read, what was refused, which faults there were, and what they broke.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

use client::Response;
use http::StatusCode;

use super::check::{Verdict, Violation};
use super::faults::Fault;
use super::history::{Asked, History, Moment, Outcome, Tier};

/// What is shown of the reads of a product on both sides of a violation, in microseconds and in lines.
const SHOWN_MICROS: u32 = 1_500_000;
const SHOWN_READS_MAX: usize = 60;
/// Writes that are shown before it, and after it.
const SHOWN_WRITES: usize = 15;
/// Violations of one rule that are shown with the history around them.
const SHOWN_MAX: usize = 3;

/// What a reader counts.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub requests: BTreeMap<Asked, u64>,
    pub with_token: u64,
    pub tiers: BTreeMap<Tier, u64>,
    /// Honest refusals, by what they say.
    pub refusals: BTreeMap<String, u64>,
    /// Answers that nothing excuses.
    pub unexpected: BTreeMap<String, u64>,
    /// Requests without an answer.
    pub failures: BTreeMap<&'static str, u64>,
    pub without_as_of: u64,
    /// The oldest `Catalog-As-Of` of an answer, in microseconds before its end.
    pub as_of_age_max: u32,
}

impl Tally {
    pub(super) fn answered(&mut self, asked: Asked, tier: Tier, has_token: bool, (as_of, end): (Moment, Moment)) {
        *self.requests.entry(asked).or_default() += 1;
        *self.tiers.entry(tier).or_default() += 1;
        self.with_token += u64::from(has_token);
        if as_of == Moment::default() {
            self.without_as_of += 1;
        } else {
            self.as_of_age_max = self.as_of_age_max.max(end.0.saturating_sub(as_of.0));
        }
    }

    /// `may_be_cut_off`: through a gateway, whose answers stand for those of a node that was killed.
    pub(super) fn refused(&mut self, asked: Asked, answer: &Response, may_be_cut_off: bool) {
        let text = format!("{asked:?} {} {}", answer.status.as_u16(), answer.problem().detail);
        let is_honest = match answer.status {
            StatusCode::SERVICE_UNAVAILABLE => !answer.header("retry-after").is_empty() || may_be_cut_off,
            StatusCode::GATEWAY_TIMEOUT => true,
            StatusCode::BAD_GATEWAY => may_be_cut_off,
            _ => false,
        };
        let counts = if is_honest { &mut self.refusals } else { &mut self.unexpected };
        *counts.entry(text).or_default() += 1;
    }

    pub(super) fn failed(&mut self, word: &'static str) {
        *self.failures.entry(word).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        merge(&mut self.requests, other.requests);
        merge(&mut self.tiers, other.tiers);
        merge(&mut self.refusals, other.refusals);
        merge(&mut self.unexpected, other.unexpected);
        merge(&mut self.failures, other.failures);
        self.with_token += other.with_token;
        self.without_as_of += other.without_as_of;
        self.as_of_age_max = self.as_of_age_max.max(other.as_of_age_max);
    }
}

fn merge<K: Ord>(counts: &mut BTreeMap<K, u64>, others: BTreeMap<K, u64>) {
    for (key, count) in others {
        *counts.entry(key).or_default() += count;
    }
}

/// Everything about a run that is over.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub tally: Tally,
    pub faults: BTreeMap<Fault, u32>,
    pub history: History,
    pub verdict: Verdict,
}

impl Report {
    /// Whether every promise was kept, and every answer was one that a promise allows.
    pub fn is_good(&self) -> bool {
        self.verdict.is_good() && self.tally.unexpected.is_empty()
    }

    /// What a long run should have had and had not: reads, faults of each kind, and answers of each node.
    pub fn shortfalls(&self, reads_min: u64, faults_min: u32) -> Vec<String> {
        let mut shortfalls = Vec::new();
        if self.reads() < reads_min {
            shortfalls.push(format!("{} reads of {reads_min}", self.reads()));
        }
        for fault in Fault::ALL {
            let times = self.faults.get(&fault).copied().unwrap_or_default();
            if times < faults_min {
                shortfalls.push(format!("{} {times} times of {faults_min}", fault.name()));
            }
        }
        let nodes: BTreeSet<u8> = self.history.nodes.iter().map(|(node, _)| *node).collect();
        let answered: BTreeSet<u8> = self.history.reads.iter().map(|read| read.node).collect();
        shortfalls.extend(nodes.difference(&answered).map(|node| format!("no answer of node {node}")));
        shortfalls
    }

    /// Requests that were answered with what there is, or with that there is nothing.
    pub fn reads(&self) -> u64 {
        self.tally.requests.values().sum()
    }

    fn writes(&self, is: fn(&Outcome) -> bool) -> usize {
        self.history.writes.iter().filter(|write| is(&write.outcome)).count()
    }

    /// What happened to the product around the violation.
    fn around(&self, violation: &Violation) -> String {
        let is_near = |moment: Moment| moment.0.abs_diff(violation.at.0) < SHOWN_MICROS;
        let reads = self.history.reads.iter().filter(|read| read.key == violation.key && is_near(read.end));
        let mut lines: Vec<(Moment, String)> = reads.map(|read| (read.end, format!("  R {read}"))).collect();
        lines.sort_by_key(|(end, _)| end.0.abs_diff(violation.at.0));
        lines.truncate(SHOWN_READS_MAX);
        // Writes are few, and what led here may be long ago.
        let writes = self.history.writes.iter().filter(|write| write.key == Some(violation.key));
        let mut writes: Vec<(Moment, String)> = writes.map(|write| (write.end, format!("  W {write}"))).collect();
        writes.sort();
        let later = writes.partition_point(|(end, _)| *end <= violation.at);
        lines.extend(writes.drain(later.saturating_sub(SHOWN_WRITES)..writes.len().min(later + SHOWN_WRITES)));
        lines.sort();
        lines.into_iter().map(|(_, line)| line + "\n").collect()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let acknowledged = self.writes(|outcome| matches!(outcome, Outcome::Acknowledged { .. }));
        let unknown = self.writes(|outcome| *outcome == Outcome::Unknown);
        let refused = self.writes(|outcome| *outcome == Outcome::Refused);
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "writes: {acknowledged} acknowledged, {unknown} without an answer, {refused} refused or not sent")?;
        let products = self.history.reads.len();
        writeln!(f, "reads: {} ({products} products seen), {} with tokens", self.reads(), self.tally.with_token)?;
        line(f, "  asked", self.tally.requests.iter().map(|(asked, count)| (format!("{asked:?}"), count)))?;
        line(f, "  answered from", self.tally.tiers.iter().map(|(tier, count)| (format!("{tier:?}"), count)))?;
        line(f, "  refused", self.tally.refusals.iter())?;
        line(f, "  without an answer", self.tally.failures.iter())?;
        let seconds = |micros: u32| f64::from(micros) / 1e6;
        let (ages, staleness) = (self.tally.as_of_age_max, self.verdict.staleness);
        writeln!(
            f,
            "Catalog-As-Of: absent in {} answers, at most {:.3} s old",
            self.tally.without_as_of,
            seconds(ages)
        )?;
        writeln!(
            f,
            "without a token {} products were seen after a newer write's answer, at most {:.3} s after it",
            staleness.stale_reads,
            seconds(staleness.max_micros)
        )?;
        line(f, "faults", self.faults.iter().map(|(fault, count)| (fault.name(), count)))?;
        line(f, "UNEXPECTED ANSWERS", self.tally.unexpected.iter())?;
        line(f, "VIOLATIONS", self.verdict.counts.iter().map(|(rule, count)| (rule.name(), count)))?;
        let mut shown = BTreeMap::new();
        for violation in &self.verdict.violations {
            let count = shown.entry(violation.rule).or_insert(0);
            *count += 1;
            if *count <= SHOWN_MAX {
                write!(f, "\n{violation}\n{}", self.around(violation))?;
            }
        }
        if self.is_good() { writeln!(f, "every promise was kept") } else { Ok(()) }
    }
}

/// Counts by name, if there are any.
fn line<N: Display, C: Display>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    counts: impl Iterator<Item = (N, C)>,
) -> fmt::Result {
    let counts: Vec<String> = counts.map(|(name, count)| format!("{name}: {count}")).collect();
    if counts.is_empty() { Ok(()) } else { writeln!(f, "{title}: {}", counts.join(", ")) }
}
