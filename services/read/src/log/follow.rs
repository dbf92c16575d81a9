//! Follows the whole stream, for as long as the process runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::{self, stream};
use bootstrap::Health;
use events::{Epoch, Message, Position, STREAM, Stamp};
use freshness::Applied;
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::SharedLog;
use crate::measures;

/// The health check that says whether the log is caught up with.
pub(crate) const CHECK: &str = "log";
/// Twenty heartbeats: after such a silence the stream is asked whether there is nothing to hear, or nothing heard.
const SILENCE_MAX: Duration = Duration::from_secs(1);
/// Longest wait for an answer of JetStream; it is tried again for ever.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Between two attempts to subscribe: a restarted server is soon followed again, one that refuses is not flooded.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// The one task that feeds the log.
pub(crate) struct Follower {
    log: Arc<SharedLog>,
    health: Health,
    jetstream: jetstream::Context,
    horizon: Duration,
    /// The stream's sequence of the last message processed.
    processed: u64,
    /// The furthest change processed: what is behind it is replayed.
    furthest: (Epoch, Position),
    has_ever_caught_up: bool,
}

/// Why a subscription is given up for a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// The consumer reported an error or ended.
    Failed,
    /// The stream has more than what arrives.
    Stalled,
    /// It is another stream, or has less than what was processed: it was made anew or restored.
    Replaced,
}

/// The words of all of them, as a metric's label.
pub(crate) const RESTARTS: [&str; 3] = [Restart::Failed.word(), Restart::Stalled.word(), Restart::Replaced.word()];

impl Restart {
    const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stalled => "stalled",
            Self::Replaced => "replaced",
        }
    }
}

/// A subscription, and the stream as it was before.
struct Subscription {
    messages: pull::Ordered,
    stream: stream::Info,
}

impl Follower {
    pub(crate) fn new(nats: async_nats::Client, log: Arc<SharedLog>, health: Health, horizon: Duration) -> Self {
        let mut jetstream = jetstream::new(nats);
        jetstream.set_timeout(ANSWER_MAX);
        let furthest = Default::default();
        Self { log, health, jetstream, horizon, processed: 0, furthest, has_ever_caught_up: false }
    }

    /// Follows the stream until `stop`.
    ///
    /// After `patience` without a heartbeat, old or new, the check passes all the same: the node then answers from
    /// Postgres. A replay is waited for, however long it takes.
    pub(crate) async fn run(mut self, patience: Duration, stop: CancellationToken) -> anyhow::Result<()> {
        let health = self.health.clone();
        let log = Arc::clone(&self.log);
        let give_up_waiting = async {
            while let Some(rest) = patience.checked_sub(log.silence()).filter(|rest| !rest.is_zero()) {
                tokio::time::sleep(rest).await;
            }
            health.set(CHECK, Ok(()));
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = give_up_waiting => {}
            () = self.follow() => {}
        }
        Ok(())
    }

    async fn follow(&mut self) {
        let mut was_reached = true;
        loop {
            match self.subscribe().await {
                Ok(subscription) => {
                    was_reached = true;
                    let restart = self.process(subscription).await;
                    tracing::warn!(reason = restart.word(), processed = self.processed, "log_restarted");
                    measures::log_restarted(restart.word());
                    if restart == Restart::Replaced {
                        self.processed = 0;
                    }
                }
                Err(error) => {
                    if std::mem::replace(&mut was_reached, false) {
                        tracing::warn!(%error, "log_not_reached");
                    }
                }
            }
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }

    /// From the message after the last one processed, or from the horizon on.
    async fn subscribe(&mut self) -> Result<Subscription, async_nats::Error> {
        let deliver_policy = match self.processed {
            0 => DeliverPolicy::ByStartTime { start_time: OffsetDateTime::now_utc() - self.horizon },
            processed => DeliverPolicy::ByStartSequence { start_sequence: processed + 1 },
        };
        // The stream is looked at first: what comes in between is to be heard, not to be waited for.
        let stream = timeout(ANSWER_MAX, self.jetstream.get_stream(STREAM)).await??;
        let config = pull::OrderedConfig { deliver_policy, ..Default::default() };
        let consumer = timeout(ANSWER_MAX, stream.create_consumer(config)).await??;
        if consumer.cached_info().num_pending == 0 {
            // All that the stream held is processed, or older than the horizon.
            self.processed = self.processed.max(stream.cached_info().state.last_sequence);
        }
        let messages = timeout(ANSWER_MAX, consumer.messages()).await??;
        Ok(Subscription { messages, stream: stream.cached_info().clone() })
    }

    /// Processes what arrives until the subscription is of no more use.
    async fn process(&mut self, mut subscription: Subscription) -> Restart {
        let (mut is_caught_up, begun) = (false, Instant::now());
        let held_at_start = subscription.stream.state.last_sequence;
        loop {
            match timeout(SILENCE_MAX, subscription.messages.next()).await {
                Ok(Some(Ok(message))) => {
                    self.apply(&message);
                    if !is_caught_up && self.processed >= held_at_start && self.log.has_heartbeat() {
                        is_caught_up = true;
                        self.has_ever_caught_up = true;
                        measures::log_replayed(begun.elapsed());
                        self.health.set(CHECK, Ok(()));
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "log_subscription_failed");
                    return Restart::Failed;
                }
                Ok(None) => return Restart::Failed,
                Err(_) => {
                    if let Some(restart) = self.ask_about_silence(&subscription.stream).await {
                        return restart;
                    }
                }
            }
        }
    }

    fn apply(&mut self, message: &jetstream::Message) {
        if let Ok(info) = message.info() {
            self.processed = info.stream_sequence;
        }
        measures::log_message();
        match Message::decode(&message.payload) {
            Ok(decoded) => {
                let stamp = decoded.stamp();
                let changed_at = match &decoded {
                    Message::Product(event) => Some(event.time),
                    Message::Heartbeat { .. } => None,
                };
                let applied = self.log.apply(decoded);
                if applied != Applied::Next {
                    tracing::info!(?applied, sequence = self.processed, ?stamp, "log_not_continued");
                }
                if let Some(changed_at) = changed_at {
                    self.measure(stamp, changed_at, applied);
                }
            }
            // Whoever follows names it as predecessor, which is then not the last one applied: a gap, treated as one.
            Err(error) => {
                tracing::error!(%error, sequence = self.processed, "log_message_not_decoded");
                measures::log_undecodable();
            }
        }
    }

    /// Whether the silence means that this subscription hears nothing; while nobody answers, nothing is known.
    async fn ask_about_silence(&self, before: &stream::Info) -> Option<Restart> {
        let now = self.stream_info().await.ok()?;
        match now.state.last_sequence {
            _ if now.created != before.created => Some(Restart::Replaced),
            last if last < self.processed => Some(Restart::Replaced),
            last if last > self.processed && now.state.messages > 0 => Some(Restart::Stalled),
            _ => None,
        }
    }

    async fn stream_info(&self) -> Result<stream::Info, async_nats::Error> {
        Ok(timeout(ANSWER_MAX, self.jetstream.get_stream(STREAM)).await??.cached_info().clone())
    }

    /// Records how long a change took to get here, unless it is one of those that a new subscription repeats.
    fn measure(&mut self, stamp: Stamp, changed_at: OffsetDateTime, applied: Applied) {
        let place = (stamp.epoch, stamp.position);
        if applied == Applied::Ignored || place < self.furthest {
            return;
        }
        self.furthest = place;
        if self.has_ever_caught_up {
            measures::visible_after(OffsetDateTime::now_utc() - changed_at);
        }
    }
}
