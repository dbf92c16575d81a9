//! The relay: one leader per database moves committed changes from the outbox into the stream, and says how far it is.
//!
//! Architecture invariant: the leader works only on the connection that holds the lock. Losing the session loses the
//! leadership, so no second leader can delete a row or store a mark.

mod address;
mod candidate;
mod epoch;
mod measures;
mod outbox;
mod session;
mod stream;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::{FutureExt, StreamExt};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use epoch::Epoch;
pub use measures::watch_outbox;
pub use session::Session;
pub use turn::{Leader, RelayError, Turn};

/// The longest wait between two turns, and so between two heartbeats of an idle catalogue.
const TICK: Duration = Duration::from_millis(50);
/// A turn is a few round trips; one that takes longer has lost its database or its stream.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before the next attempt when the stream or the database is away.
const RETRY_DELAY: Duration = Duration::from_millis(250);
/// How long the relay of an old primary waits before it looks again.
const DEPOSED_DELAY: Duration = Duration::from_secs(5);
/// How long a service that stops lets the turn in hand finish. One that is cut off is looked up by the next leader.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// An answer of the stream takes milliseconds; after this the publish counts as failed and is looked up. It is how long
/// events stand still when the stream's server dies with answers owed.
const STREAM_TIMEOUT: Duration = Duration::from_secs(2);

/// What the relay of one instance works with.
pub struct Relay {
    /// A direct connection to the primary: no pooler between, since the lock belongs to the session.
    pub database: PgConnectOptions,
    pub nats: async_nats::Client,
    /// Notified after every commit of this instance.
    pub committed: Arc<Notify>,
}

impl Relay {
    /// Stands as candidate, leads, and stands again, until told to stop.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let context = jetstream::context::ContextBuilder::new()
            .timeout(STREAM_TIMEOUT)
            .ack_timeout(STREAM_TIMEOUT)
            .build(self.nats.clone());
        measures::describe();
        while !stop.is_cancelled() {
            let elected = tokio::select! {
                elected = candidate::stand(&self, &context) => elected,
                () = stop.cancelled() => break,
            };
            match elected {
                Ok(session) => self.lead(session, &context, &stop).await,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "relay_candidate_failed");
                    pause(RETRY_DELAY, &stop).await;
                }
            }
        }
        Ok(())
    }

    /// Leads until the session is lost or no longer with the primary, or the service stops.
    async fn lead(&self, session: Session, context: &jetstream::Context, stop: &CancellationToken) {
        let own_start = session.server_started_at;
        tracing::info!("relay_leads");
        measures::set_leader(true);
        let is_deposed = tokio::select! {
            is_deposed = self.turn_on_and_on(Leader::new(session, context.clone()), stop) => is_deposed,
            () = address::has_moved(&self.database, own_start) => {
                tracing::warn!("relay_left_behind");
                false
            }
        };
        measures::set_leader(false);
        pause(if is_deposed { DEPOSED_DELAY } else { RETRY_DELAY }, stop).await;
    }

    /// Turns until the session is lost, this proves to be an old primary, or the service stops; whether it is one.
    async fn turn_on_and_on(&self, mut leader: Leader, stop: &CancellationToken) -> bool {
        let mut wake_ups = self.nats.subscribe(events::WAKE_SUBJECT).await.ok();
        while !stop.is_cancelled() {
            let turn = tokio::select! {
                turn = tokio::time::timeout(TURN_TIMEOUT, leader.turn()) => turn.unwrap_or(Err(RelayError::TimedOut)),
                () = stopped_for(STOP_PATIENCE, stop) => break,
            };
            match turn {
                Ok(Turn { has_more: true, .. }) => {}
                Ok(_) => self.await_work(&mut wake_ups, stop).await,
                Err(error) => {
                    measures::failed(&error);
                    if error.is_session_lost() {
                        tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "relay_session_lost");
                        break;
                    }
                    if let RelayError::Deposed { .. } = error {
                        tracing::error!(%error, "relay_is_of_an_old_primary");
                        return true;
                    }
                    tracing::warn!(error = format!("{:#}", anyhow::Error::from(error)), "relay_turn_failed");
                    leader.forget_stream();
                    pause(RETRY_DELAY, stop).await;
                }
            }
        }
        // Of no need but that the outbox of a stopped catalogue is empty.
        drop(tokio::time::timeout(STOP_PATIENCE, leader.settle()).await);
        false
    }

    async fn await_work(&self, wake_ups: &mut Option<async_nats::Subscriber>, stop: &CancellationToken) {
        let woken = async {
            match wake_ups {
                Some(subscription) => {
                    if subscription.next().await.is_none() {
                        *wake_ups = None;
                        return;
                    }
                    // One turn answers all that have come: a turn for each would go on long after the commits.
                    while let Some(Some(_)) = subscription.next().now_or_never() {}
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.committed.notified() => {}
            () = woken => {}
            () = tokio::time::sleep(TICK) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn stopped_for(patience: Duration, stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(patience).await;
}

async fn pause(delay: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = stop.cancelled() => {}
    }
}
