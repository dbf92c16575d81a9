//! Decides whether answers break a promise. Pure: everything known is an argument, and what is not known is no violation.
//!
//! An answer is held against the primary only if both surely speak of one epoch: all readings of the sample are from one
//! connection of a server on whose present start the epoch was made, and the answer's `Catalog-As-Of` is a moment that the
//! log announced in that epoch.

use std::time::Duration;

use catalog::Version;
use events::Epoch;
use time::OffsetDateTime;

use super::record::{Answer, Claim, Reading, Seen};
use super::timeline::Timeline;

/// How far above a reading's time a `Catalog-As-Of` must be: two beats of the relay. A smaller step back of the primary's
/// clock leaves no trace in the log.
const CLOCK_MARGIN: Duration = Duration::from_millis(100);

/// A clock that stepped back so shortly before a reading may have done so unnoticed until after it.
const STEP_BEFORE: Duration = Duration::from_secs(1);

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A write that was visible before the answer's `Catalog-As-Of` is not in it.
    Stale,
    /// The same, where the write deleted the product.
    Undeleted,
    /// A version that the primary does not have.
    Lost,
    /// A node answered an older version than before.
    Backwards,
    /// The content is not that of its version.
    Different,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::Stale, Self::Undeleted, Self::Lost, Self::Backwards, Self::Different];

    /// The word in metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Undeleted => "undeleted",
            Self::Lost => "lost",
            Self::Backwards => "backwards",
            Self::Different => "different",
        }
    }
}

/// A broken promise, and the answer that broke it, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    pub(super) answer: usize,
}

/// What a sample comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The epoch was not the same throughout, or not known to be: nothing can be said.
    Unsettled,
    Settled {
        findings: Vec<Finding>,
        /// Answers whose `Catalog-As-Of` was above a reading's time.
        held_to_as_of: usize,
    },
}

/// Judges every answer by all readings. A finding stands only if it is still found after another, later reading: until then
/// a promotion may be under way.
pub(super) fn judge(readings: &[Reading], answers: &[Answer], timeline: &Timeline) -> Verdict {
    let Some(epoch) = epoch_of(readings).filter(|epoch| *epoch == timeline.epoch()) else {
        return Verdict::Unsettled;
    };
    let bench = Bench { epoch, readings, timeline };
    let found = |(place, answer)| bench.fault(answer).map(|kind| Finding { kind, answer: place });
    Verdict::Settled {
        findings: answers.iter().enumerate().filter_map(found).collect(),
        held_to_as_of: answers.iter().filter(|answer| bench.required(answer).is_some()).count(),
    }
}

/// Whether a `Catalog-As-Of` will be held against a reading made at `t`.
pub(super) fn is_above(as_of: OffsetDateTime, t: OffsetDateTime) -> bool {
    as_of > t + CLOCK_MARGIN
}

/// The epoch of all readings, if nothing happened to the server between the first and the last.
fn epoch_of(readings: &[Reading]) -> Option<Epoch> {
    let first = readings.first()?;
    let is_same = |reading: &Reading| {
        reading.is_settled && (reading.epoch, reading.connection) == (first.epoch, first.connection)
    };
    readings.iter().all(is_same).then_some(first.epoch)
}

struct Bench<'a> {
    epoch: Epoch,
    readings: &'a [Reading],
    timeline: &'a Timeline,
}

impl Bench<'_> {
    fn fault(&self, answer: &Answer) -> Option<Kind> {
        if !self.is_of_the_epoch(answer) {
            return None;
        }
        if self.is_lost(answer) {
            return Some(Kind::Lost);
        }
        if self.is_different(answer) {
            return Some(Kind::Different);
        }
        if let Some(required) = self.required(answer)
            && self.is_older(answer, required.version)
        {
            return Some(if required.product.is_none() { Kind::Undeleted } else { Kind::Stale });
        }
        self.is_backwards(answer).then_some(Kind::Backwards)
    }

    fn is_of_the_epoch(&self, answer: &Answer) -> bool {
        match answer.claim {
            Claim::AsOf(as_of) => as_of.is_some_and(|as_of| self.timeline.is_moment_of(self.epoch, as_of)),
            Claim::Entry { epoch, .. } => epoch == self.epoch,
        }
    }

    /// The newest reading that the answer's `Catalog-As-Of` promises to include.
    fn required(&self, answer: &Answer) -> Option<&Reading> {
        let Claim::AsOf(Some(as_of)) = answer.claim else { return None };
        let is_promised = |reading: &&Reading| {
            let is_clock_steady = reading.announced.is_some_and(|announced| reading.t > announced)
                && !self.timeline.was_held_since(reading.began.saturating_sub(STEP_BEFORE));
            is_clock_steady && is_above(as_of, reading.t)
        };
        self.readings.iter().filter(is_promised).max_by_key(|reading| reading.version)
    }

    /// Whether an answer lacks what a version has.
    fn is_older(&self, answer: &Answer, version: Version) -> bool {
        match answer.seen {
            // Ids never return: a product that is there at the end was not gone in between.
            Seen::Absent(_) => version > Version::ABSENT && !self.is_deleted(),
            _ => answer.seen.version() < version,
        }
    }

    /// Whether the primary lacks the version even after the answer.
    fn is_lost(&self, answer: &Answer) -> bool {
        let mut after = self.readings.iter().filter(|reading| reading.began >= answer.answered).peekable();
        let Some(first) = after.peek().map(|reading| reading.t) else { return false };
        // A replica may show a commit for which the primary still waits for another replica.
        let may_come = |reading: &Reading| reading.oldest_wait.is_some_and(|wait| wait <= first);
        after.all(|reading| reading.version < answer.seen.version() && !may_come(reading))
    }

    /// Whether the primary has other content under the answer's version.
    fn is_different(&self, answer: &Answer) -> bool {
        let mut same = self.readings.iter().filter(|reading| reading.version == answer.seen.version());
        match &answer.seen {
            Seen::Product(product) => same.any(|reading| reading.product.as_ref() != Some(product)),
            Seen::Absent(_) => same.any(|reading| reading.product.is_some()),
            Seen::Malformed(_) => true,
        }
    }

    fn is_backwards(&self, answer: &Answer) -> bool {
        let Some(earlier) = answer.earlier else { return false };
        if !self.timeline.is_moment_of(self.epoch, earlier.as_of) {
            return false;
        }
        let is_back_again = earlier.is_gone && !matches!(answer.seen, Seen::Absent(_));
        is_back_again || self.is_older(answer, earlier.version)
    }

    fn is_deleted(&self) -> bool {
        self.readings.iter().any(|reading| reading.version > Version::ABSENT && reading.product.is_none())
    }
}

#[cfg(test)]
mod tests;
