//! An instance that does not lead: tells the leader of its commits, and takes over when the leader falls silent.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Context;
use async_nats::connection::State;
use async_nats::jetstream;
use futures_util::{StreamExt, stream};
use sqlx::PgConnection;
use tokio::time::timeout;

use super::session::{self, Claim, Session};
use super::{Relay, measures};

/// How often the lock is asked for.
const CLAIM_INTERVAL: Duration = Duration::from_millis(500);
/// A leader publishes at least every 50 ms, changes or else a heartbeat. One that is silent for this long, while the
/// stream can be reached, is stopped, cut off or half dead, and its session still holds the lock.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Longest wait for the database: a host that has vanished refuses nothing, and TCP alone waits for a quarter of an hour.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

/// Waits until this instance holds the lock.
pub(super) async fn stand(relay: &Relay, context: &jetstream::Context) -> anyhow::Result<Session> {
    let mut session = answered(session::connect(&relay.database)).await?;
    // Heartbeats alone would not do: a leader with a long backlog sends none before it has worked that off.
    let mut published = stream::select(
        relay.nats.subscribe(events::HEARTBEAT_SUBJECT).await?,
        relay.nats.subscribe(events::PRODUCT_SUBJECTS).await?,
    );
    let mut heard_at = Instant::now();
    let mut claims = tokio::time::interval(CLAIM_INTERVAL);
    loop {
        tokio::select! {
            Some(_) = published.next() => heard_at = Instant::now(),
            () = relay.committed.notified() => wake_leader(relay).await,
            _ = claims.tick() => {
                match answered(session::claim(session)).await? {
                    Claim::Granted(session) => return Ok(session),
                    Claim::Held(still) => session = still,
                }
                // Silence counts only while this instance itself could hear.
                if relay.nats.connection_state() != State::Connected {
                    heard_at = Instant::now();
                } else if heard_at.elapsed() > SILENCE_MAX {
                    unseat(&mut session.connection, context).await?;
                    heard_at = Instant::now();
                }
            }
        }
    }
}

async fn wake_leader(relay: &Relay) {
    // Lost on the way, it costs the leader's tick of 50 ms; so nothing waits for it, least of all a lost connection.
    if relay.nats.connection_state() == State::Connected {
        let _ = relay.nats.publish(events::WAKE_SUBJECT, bytes::Bytes::new()).await;
    }
}

/// Ends the holder's session, if the stream can be reached from here: otherwise the holder may be as well as this is.
async fn unseat(connection: &mut PgConnection, context: &jetstream::Context) -> anyhow::Result<()> {
    // A leader that never reached the stream has not made it either; then there is nobody to be better than.
    if context.get_stream(events::STREAM).await.is_ok() {
        let ended = answered(session::end_holder(connection)).await?;
        tracing::warn!(ended, silence_ms = SILENCE_MAX.as_millis(), "relay_leader_unseated");
        measures::unseated(ended);
    }
    Ok(())
}

async fn answered<T>(asked: impl Future<Output = sqlx::Result<T>>) -> anyhow::Result<T> {
    Ok(timeout(ANSWER_WAIT_MAX, asked).await.context("the database does not answer")??)
}
