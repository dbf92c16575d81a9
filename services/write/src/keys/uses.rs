//! When keys were last used, noted in the background: a request only leaves a mark in memory.

use std::collections::HashMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{KeyId, Keys};
use crate::store::api_keys;

/// Exact enough to find a key that nobody uses, and seldom enough to cost nothing.
const PERIOD: Duration = Duration::from_mins(1);

/// Uses that are not noted yet: of each good key the last that was heard of, so no more than there are keys.
pub(super) type Uses = HashMap<KeyId, OffsetDateTime>;

impl Keys {
    /// Called once for each look into the database, not for each request.
    pub(super) fn note_use(&self, id: KeyId) {
        self.uses().insert(id, OffsetDateTime::now_utc());
    }

    /// Notes uses once a minute, and what is left when it is told to stop.
    pub async fn note_uses(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_last = stop.run_until_cancelled(period.tick()).await.is_none();
            if let Err(error) = self.note_uses_once().await {
                tracing::warn!(%error, "key_uses_not_noted");
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Notes what was used since the last time, and returns how many keys that were; what another instance noted within
    /// the minute is not counted.
    pub async fn note_uses_once(&self) -> sqlx::Result<u64> {
        let taken = std::mem::take(&mut *self.uses());
        if taken.is_empty() {
            return Ok(0);
        }
        let (ids, times): (Vec<String>, Vec<OffsetDateTime>) =
            taken.iter().map(|(id, at)| (id.to_string(), *at)).unzip();
        let noted = async { api_keys::note_uses(&mut *self.0.pool.acquire().await?, &ids, &times).await }.await;
        if noted.is_err() {
            let mut uses = self.uses();
            for (id, at) in taken {
                uses.entry(id).or_insert(at);
            }
        }
        noted
    }

    fn uses(&self) -> MutexGuard<'_, Uses> {
        self.0.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
