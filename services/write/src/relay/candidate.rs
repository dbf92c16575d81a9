//! An instance that does not lead: tells the leader of its commits, and takes over when the leader falls silent.

use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream;
use futures_util::StreamExt;
use sqlx::PgConnection;

use super::Relay;
use super::session::{self, Claim, Session};

/// How often the lock is asked for.
const CLAIM_INTERVAL: Duration = Duration::from_millis(500);
/// A leader heart-beats at least every 50 ms. One that is silent for this long, while the stream can be reached, is
/// stopped, cut off or half dead, and its session still holds the lock.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Waits until this instance holds the lock.
pub(super) async fn stand(relay: &Relay, context: &jetstream::Context) -> anyhow::Result<Session> {
    let mut connection = session::connect(&relay.database).await?;
    let mut heartbeats = relay.nats.subscribe(events::HEARTBEAT_SUBJECT).await?;
    let mut heard_at = Instant::now();
    let mut claims = tokio::time::interval(CLAIM_INTERVAL);
    loop {
        tokio::select! {
            Some(_) = heartbeats.next() => heard_at = Instant::now(),
            () = relay.committed.notified() => wake_leader(relay).await,
            _ = claims.tick() => {
                match session::claim(connection).await? {
                    Claim::Granted(session) => return Ok(session),
                    Claim::Held(still) => connection = still,
                }
                // Silence counts only while this instance itself could hear.
                if relay.nats.connection_state() != State::Connected {
                    heard_at = Instant::now();
                } else if heard_at.elapsed() > SILENCE_MAX {
                    unseat(&mut connection, context).await?;
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
        let ended = session::end_holder(connection).await?;
        tracing::warn!(ended, silence_ms = SILENCE_MAX.as_millis(), "relay_leader_unseated");
        metrics::counter!("freshet_relay_unseated_total").increment(ended);
    }
    Ok(())
}
