//! One sample: a product that has just changed, or any, as every tier and every node has it, between readings of the
//! primary.

use std::sync::OnceLock;
use std::time::Duration;

use cache::Content;
use catalog::{Product, ProductId};
use futures_util::future::join_all;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep};

use super::Auditor;
use super::judge::is_above;
use super::nines::Outcome;
use super::node::Node;
use super::primary::PrimaryError;
use super::record::{Answer, Change, Claim, Reading, Seen, Tier};

/// How long a change is looked for: the longest time that is told.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Between two looks: short beside the shortest time that is told, ...
const LOOK_AGAIN_MIN: Duration = Duration::from_millis(2);
/// ... and never more than this.
const LOOK_AGAIN_MAX: Duration = Duration::from_millis(500);
/// How long a node is asked until its `Catalog-As-Of` is above the first reading: a healthy log gets there with the next
/// few heartbeats.
const AS_OF_MAX: Duration = Duration::from_secs(2);
/// Between two such questions: two heartbeats.
const AS_OF_AGAIN: Duration = Duration::from_millis(100);

/// What is sampled.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) id: ProductId,
    /// The change for which it was chosen.
    pub(super) change: Option<Change>,
}

/// Everything that was asked and answered.
pub(super) struct Sample {
    pub(super) subject: Subject,
    pub(super) readings: Vec<Reading>,
    pub(super) answers: Vec<Answer>,
    pub(super) outcomes: Vec<(Tier, Outcome)>,
}

/// What became of one tier.
struct Watched {
    tier: Tier,
    answers: Vec<Answer>,
    /// When the question was asked whose answer first showed the change, by the auditor's clock.
    shown: Option<Duration>,
    /// An outcome that is known before the primary is looked at.
    ended: Option<Outcome>,
}

impl Auditor {
    /// Takes a sample.
    ///
    /// # Errors
    /// The primary does not answer, so there is nothing to compare with.
    pub(super) async fn sample(&self, subject: Subject) -> Result<Sample, PrimaryError> {
        // Set with the first reading; the tiers are asked meanwhile, since a change is to be seen as soon as it shows.
        let base = OnceLock::new();
        let first = async {
            let reading = self.primary.read(subject.id, &self.heard).await?;
            let _ = base.set(reading.t);
            Ok::<_, PrimaryError>(reading)
        };
        let nodes = self.nodes.iter().map(|node| self.watch_node(node, &subject, &base));
        let watched = async {
            let (redis, mut watched) = tokio::join!(self.watch_redis(&subject), join_all(nodes));
            watched.push(redis);
            Ok(watched)
        };
        let (first, watched) = tokio::try_join!(first, watched)?;
        let last = self.primary.read(subject.id, &self.heard).await?;
        let outcomes = watched.iter().map(|watched| (watched.tier, watched.outcome(&subject, &first, &last))).collect();
        let answers = watched.into_iter().flat_map(|watched| watched.answers).collect();
        Ok(Sample { subject, readings: vec![first, last], answers, outcomes })
    }

    /// Asks a node until it shows the change and its `Catalog-As-Of` is above the first reading, or it is time to end.
    async fn watch_node(&self, node: &Node, subject: &Subject, base: &OnceLock<OffsetDateTime>) -> Watched {
        let mut watched = Watched::new(node.tier);
        let begun = Instant::now();
        loop {
            let Some(answer) = node.ask(subject.id, &self.heard).await else {
                watched.ended = Some(Outcome::Away);
                return watched;
            };
            let is_above_base = match answer.claim {
                Claim::AsOf(Some(as_of)) => base.get().is_some_and(|t| is_above(as_of, *t)),
                _ => false,
            };
            watched.take(answer, subject);
            let elapsed = begun.elapsed();
            if !watched.is_done(subject) {
                if elapsed >= LOOK_MAX {
                    return watched;
                }
                sleep(look_again(elapsed)).await;
            // A silent log gets to no later moment.
            } else if is_above_base || elapsed >= AS_OF_MAX || !self.heard.is_current() {
                return watched;
            } else {
                sleep(AS_OF_AGAIN).await;
            }
        }
    }

    /// Asks Redis until it shows the change, holds nothing, or it is time to end.
    async fn watch_redis(&self, subject: &Subject) -> Watched {
        let mut watched = Watched::new(Tier::Redis);
        let begun = Instant::now();
        loop {
            let asked = self.heard.now();
            let Ok(mut held) = self.cache.get(&[subject.id]).await else {
                watched.ended = Some(Outcome::Away);
                return watched;
            };
            let Some(entry) = held.pop().flatten() else {
                watched.ended = Some(Outcome::Empty);
                return watched;
            };
            let seen = match &entry.content {
                Content::Absent => Seen::Absent(entry.version),
                Content::Product(body) => match serde_json::from_slice::<Product>(body) {
                    Ok(product) if product.version == entry.version => Seen::Product(Box::new(product)),
                    _ => Seen::Malformed(entry.version),
                },
            };
            let claim = Claim::Entry { epoch: entry.epoch, read_at: entry.read_at };
            let answered = self.heard.now();
            let cache_status = String::new();
            let answer = Answer { tier: Tier::Redis, seen, claim, earlier: None, cache_status, asked, answered };
            watched.take(answer, subject);
            let elapsed = begun.elapsed();
            if watched.is_done(subject) || elapsed >= LOOK_MAX {
                return watched;
            }
            sleep(look_again(elapsed)).await;
        }
    }
}

impl Watched {
    const fn new(tier: Tier) -> Self {
        Self { tier, answers: Vec::new(), shown: None, ended: None }
    }

    fn take(&mut self, answer: Answer, subject: &Subject) {
        if self.shown.is_none() && subject.change.as_ref().is_some_and(|change| change.is_shown_by(&answer)) {
            self.shown = Some(answer.asked);
        }
        self.answers.push(answer);
    }

    const fn is_done(&self, subject: &Subject) -> bool {
        subject.change.is_none() || self.shown.is_some()
    }

    fn outcome(&self, subject: &Subject, first: &Reading, last: &Reading) -> Outcome {
        if let Some(ended) = self.ended {
            return ended;
        }
        match (&subject.change, self.shown) {
            (None, _) => Outcome::Checked,
            (Some(change), Some(shown)) => Outcome::Shown(lag(change, shown, first)),
            // Created and deleted before it was looked for: "not found" tells the one from the other no more.
            (Some(_), None) if last.product.is_none() => Outcome::Checked,
            (Some(_), None) => Outcome::Late,
        }
    }
}

/// A tenth of the time that it has been looked for: so exact is the lag that is found.
fn look_again(elapsed: Duration) -> Duration {
    (elapsed / 10).clamp(LOOK_AGAIN_MIN, LOOK_AGAIN_MAX)
}

/// From the change to the first question whose answer showed it, by the primary's clock as the reading had it. How long an
/// answer takes is no part of it.
fn lag(change: &Change, shown: Duration, reading: &Reading) -> Duration {
    let since_reading = shown.as_secs_f64() - reading.ended.as_secs_f64();
    let lag = (reading.t - change.time).as_seconds_f64() + since_reading;
    Duration::try_from_secs_f64(lag).unwrap_or_default()
}
