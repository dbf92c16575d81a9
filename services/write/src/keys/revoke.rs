//! Revokes keys, and hears of those that other instances revoke.
//!
//! A key's row is revoked before anybody is told, so whoever forgets the key finds that out with the next look. What is not
//! told, or not heard, costs at most as long as a key is kept.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::connection::State;
use bytes::Bytes;
use events::KEYS_SUBJECT;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{KeyId, Keys};
use crate::store::api_keys;

/// How soon it is seen that the connection to NATS is another one.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

impl Keys {
    /// Whether there is such a key; it is good for nothing from now on, here at once and elsewhere in a moment.
    pub(crate) async fn revoke(&self, id: KeyId) -> sqlx::Result<bool> {
        let keys = self.clone();
        // To its end also if its client leaves: what is stored is to be told.
        let revoked = tokio::spawn(async move {
            let is_there = api_keys::revoke(&mut *keys.0.pool.acquire().await?, id).await;
            // After an error, too: it may be stored all the same.
            if !matches!(is_there, Ok(false)) {
                keys.0.kept.forget(id);
                keys.tell(Bytes::copy_from_slice(id.as_str().as_bytes())).await;
            }
            is_there
        });
        revoked.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Forgets what others revoke, until told to stop.
    pub async fn hear(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Some(nats) = &self.0.nats else { return Ok(()) };
        let mut revoked = nats.subscribe(KEYS_SUBJECT).await?;
        let statistics = nats.statistics();
        let mut connection = statistics.connects.load(Ordering::Relaxed);
        let mut looks = tokio::time::interval(LOOK_PERIOD);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(message) = revoked.next() => match KeyId::read(&message.payload) {
                    Some(id) => self.0.kept.forget(id),
                    None => self.0.kept.forget_all(),
                },
                _ = looks.tick() => {
                    let now = statistics.connects.load(Ordering::Relaxed);
                    if now != connection {
                        connection = now;
                        self.0.kept.forget_all();
                        // Heard by this instance too, once the server knows that it listens again: what was said until
                        // then is forgotten then.
                        self.tell(Bytes::new()).await;
                    }
                }
            }
        }
    }

    async fn tell(&self, revoked: Bytes) {
        // Nothing waits for a connection that is lost: who does not hear of it finds out by itself.
        if let Some(nats) = &self.0.nats
            && nats.connection_state() == State::Connected
            && let Err(error) = nats.publish(KEYS_SUBJECT, revoked).await
        {
            tracing::warn!(%error, "key_revocation_not_told");
        }
    }
}
