//! The auditor: samples products on the running system and holds every tier and node to what was promised.
//!
//! Architecture invariant: it believes only the primary, and calls a promise broken only if no promotion, restart or step of
//! a clock can explain what it saw. It writes nothing, and loads the system no more than its rate says.

mod command;
mod follow;
mod heard;
mod judge;
mod measures;
mod nines;
mod node;
mod primary;
mod record;
mod report;
mod sample;
mod timeline;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_nats::Client;
use cache::Cache;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::AuditedSettings;
pub use command::run;
use heard::Heard;
use judge::{Finding, Verdict, judge};
use nines::{Outcome, Tally};
use node::Node;
use primary::Primary;
use record::{Change, Tier};
use sample::{Sample, Subject};

/// Samples under way at a time: each holds some answers for up to ten seconds.
const SAMPLES_MAX: usize = 64;
/// Between a suspicion and the reading that confirms it: by then a promotion has begun its epoch, since a relay waits 3 s
/// for another's heartbeat, and a commit that waited for a replica is visible.
const CONFIRM_AFTER: Duration = Duration::from_secs(5);
/// How often a suspicion is looked at again while the primary or the log is away, before it is dropped.
const CONFIRMATIONS_MAX: usize = 12;

/// Whom it asks, and what it has found.
pub struct Auditor {
    cache: Cache,
    primary: Primary,
    nodes: Vec<Node>,
    heard: Arc<Heard>,
    findings: Mutex<Findings>,
    /// Tells of a broken promise.
    tell: fn(&Value),
}

#[derive(Clone, Debug, Default)]
struct Findings {
    tally: Tally,
    samples: u64,
    held_to_as_of: u64,
    violations: u64,
}

impl Findings {
    /// Whether anything that the tier has shown could be looked at.
    fn has_heard(&self, tier: Tier) -> bool {
        self.tally.get(&tier).is_some_and(|nines| nines.changes + nines.checked > 0)
    }
}

/// An auditor, and the stream that it is to follow.
pub(crate) struct Audit {
    auditor: Arc<Auditor>,
    changes: mpsc::Receiver<Change>,
    nats: Client,
}

impl Audit {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// No primary is named.
    pub(crate) fn new(
        settings: &AuditedSettings,
        cache: Cache,
        nats: Client,
        tell: fn(&Value),
    ) -> anyhow::Result<Self> {
        let database = settings.database_url.clone();
        let database = database.context("to audit, name the primary: --database-url (FRESHET_DATABASE_URL)")?;
        let nodes = settings.read_urls.iter().enumerate().map(|(place, client)| Node::new(place, client.clone()));
        let (heard, changes) = Heard::new();
        let auditor = Auditor {
            cache,
            primary: Primary::new(database),
            nodes: nodes.collect(),
            heard: Arc::new(heard),
            findings: Mutex::default(),
            tell,
        };
        measures::describe(auditor.tiers());
        Ok(Self { auditor: Arc::new(auditor), changes, nats })
    }

    /// Takes so many samples each second until `stop`, in turn of changes and of any products; then follows those under way
    /// to their end if `is_patient`.
    pub(crate) async fn work(mut self, per_second: u32, stop: CancellationToken, is_patient: bool) {
        let mut follower = JoinSet::new();
        follower.spawn(follow::follow(self.nats.clone(), Arc::clone(&self.auditor.heard)));
        let mut ticks = interval(Duration::from_secs(1) / per_second);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut samples = JoinSet::new();
        let mut is_turn_of_change = false;
        loop {
            let subject = tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = samples.join_next(), if !samples.is_empty() => {
                    if let Err(panic) = ended {
                        tracing::error!(%panic, "audit_sample_failed");
                    }
                    continue;
                }
                Some(change) = self.changes.recv() => Some(Subject { id: change.id, change: Some(change) }),
                _ = ticks.tick() => {
                    is_turn_of_change = !is_turn_of_change;
                    // While nothing changes, its turn comes with the next change.
                    if is_turn_of_change {
                        self.auditor.heard.want_change();
                        continue;
                    }
                    None
                }
            };
            if samples.len() < SAMPLES_MAX {
                samples.spawn(Arc::clone(&self.auditor).audit(subject));
            }
        }
        if is_patient {
            while samples.join_next().await.is_some() {}
        }
    }
}

/// Logs a broken promise as one event.
pub(crate) fn log(report: &Value) {
    tracing::error!(kind = report["kind"].as_str(), tier = report["tier"].as_str(), %report, "audit_violation");
}

impl Auditor {
    fn tiers(&self) -> impl Iterator<Item = Tier> {
        std::iter::once(Tier::Redis).chain(self.nodes.iter().map(|node| node.tier))
    }

    /// Samples a product, any if none is named, and judges what was seen.
    async fn audit(self: Arc<Self>, subject: Option<Subject>) {
        let sampled = match subject {
            Some(subject) => self.sample(subject).await,
            None => match self.primary.any_id().await {
                Ok(Some(id)) => self.sample(Subject { id, change: None }).await,
                Ok(None) => return,
                Err(error) => Err(error),
            },
        };
        let mut sample = match sampled {
            Ok(sample) => sample,
            Err(error) => {
                tracing::debug!(%error, "audit_primary_not_reached");
                self.count(self.tiers().map(|tier| (tier, Outcome::Unsettled)));
                return;
            }
        };
        match judge(&sample.readings, &sample.answers, &self.heard.timeline()) {
            Verdict::Unsettled => {
                self.count(sample.outcomes.iter().map(|(tier, outcome)| {
                    (*tier, if *outcome == Outcome::Away { Outcome::Away } else { Outcome::Unsettled })
                }));
            }
            Verdict::Settled { findings, held_to_as_of } => {
                measures::held_to_as_of(held_to_as_of);
                self.findings().held_to_as_of += held_to_as_of as u64;
                self.count(sample.outcomes.iter().copied());
                if !findings.is_empty() {
                    let findings = self.confirm(&mut sample).await;
                    self.report(&sample, &findings);
                }
            }
        }
    }

    /// Looks at a suspicion again after a while; what remains of it.
    async fn confirm(&self, sample: &mut Sample) -> Vec<Finding> {
        for _ in 0..CONFIRMATIONS_MAX {
            sleep(CONFIRM_AFTER).await;
            let Ok(reading) = self.primary.read(sample.subject.id, &self.heard).await else { continue };
            if !self.heard.is_current() {
                continue;
            }
            sample.readings.push(reading);
            return match judge(&sample.readings, &sample.answers, &self.heard.timeline()) {
                Verdict::Settled { findings, .. } => findings,
                Verdict::Unsettled => Vec::new(),
            };
        }
        Vec::new()
    }

    /// Logs and counts each kind of violation of each tier once.
    fn report(&self, sample: &Sample, findings: &[Finding]) {
        let mut told = BTreeSet::new();
        for finding in findings {
            let tier = sample.answers[finding.answer].tier;
            if !told.insert((finding.kind, tier)) {
                continue;
            }
            let node = self.nodes.iter().find(|node| node.tier == tier).map(Node::url);
            let report = report::report(sample, *finding, node, &self.heard.history(sample.subject.id));
            measures::violated(finding.kind);
            self.findings().violations += 1;
            (self.tell)(&report);
        }
    }

    fn count(&self, outcomes: impl Iterator<Item = (Tier, Outcome)>) {
        let mut findings = self.findings();
        findings.samples += 1;
        for (tier, outcome) in outcomes {
            measures::sampled(tier, outcome);
            findings.tally.entry(tier).or_default().count(outcome);
        }
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
