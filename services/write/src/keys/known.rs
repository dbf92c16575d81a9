//! What this instance knows of keys, for seconds: those that are good, and ids that no good key has.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::{Cache, EntryAction, EntryResult};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Actor, KeyHash, KeyId, Scopes};
use crate::counts::{self, KeyLookup};
use crate::store::api_keys::{self, StoredKey};

/// How long a key is good without another look: the longest that a revocation can take while NATS is away. Looking once
/// in this time costs nothing that could be measured.
const KNOWN_MAX: Duration = Duration::from_secs(10);
/// How long an id is known to be nobody's: whoever repeats it costs a look a second.
const UNKNOWN_MAX: Duration = Duration::from_secs(1);
/// Keys kept: more than anybody has, at a few hundred bytes each.
const KNOWN_COUNT_MAX: usize = 10_000;
/// Ids that are nobody's: a flood of them fills no more than this.
const UNKNOWN_COUNT_MAX: usize = 10_000;
/// Looks for ids that are not known, at a time: a flood of made-up keys takes so many connections of the pool and no more.
/// A key that was good a moment ago does not wait behind them.
const STRANGERS_MAX: usize = 4;
/// Longest look, the wait for its turn included: past it the database is away or the flood too great.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// A good key.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) actor: Actor,
    /// The actor as log lines name it.
    pub(super) label: Arc<str>,
    pub(super) hash: KeyHash,
    pub(super) scopes: Scopes,
    expires_at: Option<OffsetDateTime>,
    fresh_until: Instant,
    /// Set by the first request that it is good for.
    is_used: AtomicBool,
}

#[derive(Debug)]
pub(super) struct Kept {
    known: Cache<KeyId, Arc<Known>>,
    /// Until when each is known to be nobody's.
    unknown: Cache<KeyId, Instant>,
    strangers: Semaphore,
}

impl Kept {
    pub(super) fn new() -> Self {
        Self {
            known: Cache::new(KNOWN_COUNT_MAX),
            unknown: Cache::new(UNKNOWN_COUNT_MAX),
            strangers: Semaphore::new(STRANGERS_MAX),
        }
    }

    /// The key with this id, if it is good. All who ask for one at a time share one look into the database.
    pub(super) async fn find(&self, id: KeyId, pool: &PgPool) -> sqlx::Result<Option<Arc<Known>>> {
        let now = Instant::now();
        if let Some(known) = self.known.get(&id).filter(|known| known.is_fresh(now)) {
            return Ok(known.unless_expired());
        }
        if self.is_nobody(id, now) {
            return Ok(None);
        }
        let look = |known: &mut Arc<Known>| {
            if known.is_fresh(now) { EntryAction::Retain(Arc::clone(known)) } else { EntryAction::ReplaceWithGuard }
        };
        let (guard, is_stranger) = match self.known.entry_async(&id, |_, known| look(known)).await {
            EntryResult::Retained(known) => return Ok(known.unless_expired()),
            EntryResult::Replaced(guard, _) => (guard, false),
            EntryResult::Vacant(guard) => (guard, true),
            EntryResult::Removed(..) | EntryResult::Timeout => unreachable!("neither is asked for"),
        };
        // Those who waited for a look that found nobody come here, too.
        if self.is_nobody(id, Instant::now()) {
            return Ok(None);
        }
        let Some(known) = self.look_up(id, pool, is_stranger).await? else {
            self.unknown.insert(id, Instant::now() + UNKNOWN_MAX);
            return Ok(None);
        };
        let known = Arc::new(known);
        // Not kept if the key was revoked meanwhile: then the guard's place is gone.
        let _ = guard.insert(Arc::clone(&known));
        Ok(Some(known))
    }

    pub(super) fn forget(&self, id: KeyId) {
        self.known.remove(&id);
    }

    pub(super) fn forget_all(&self) {
        self.known.clear();
    }

    fn is_nobody(&self, id: KeyId, now: Instant) -> bool {
        self.unknown.get(&id).is_some_and(|until| now < until)
    }

    async fn look_up(&self, id: KeyId, pool: &PgPool, is_stranger: bool) -> sqlx::Result<Option<Known>> {
        let look = async {
            let turn = if is_stranger { Some(self.strangers.acquire().await) } else { None };
            // How old what is found may become is counted from before it was looked for.
            let begun = Instant::now();
            let stored = api_keys::find(&mut *pool.acquire().await?, id).await?;
            drop(turn);
            Ok(stored.and_then(|stored| Known::from_stored(id, stored, begun + KNOWN_MAX)))
        };
        let found = timeout(LOOK_TIME_MAX, look).await.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        counts::key_lookup(match &found {
            Ok(Some(_)) => KeyLookup::Found,
            Ok(None) => KeyLookup::Unknown,
            Err(_) => KeyLookup::Failed,
        });
        found
    }
}

impl Known {
    fn from_stored(id: KeyId, stored: StoredKey, fresh_until: Instant) -> Option<Self> {
        let StoredKey { name, hash, scopes, expires_at } = stored;
        let actor = Actor { key: id, name: name.into() };
        let known = Self {
            label: actor.to_string().into(),
            actor,
            hash: KeyHash::from_stored(&hash)?,
            scopes: Scopes::of_words(&scopes),
            expires_at,
            fresh_until,
            is_used: AtomicBool::new(false),
        };
        (!known.is_expired()).then_some(known)
    }

    /// Whether this is its first use since it was looked up.
    pub(super) fn is_first_use(&self) -> bool {
        // Read before it is written: what all threads write, none has at hand.
        !self.is_used.load(Ordering::Relaxed) && !self.is_used.swap(true, Ordering::Relaxed)
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now < self.fresh_until
    }

    fn unless_expired(self: Arc<Self>) -> Option<Arc<Self>> {
        (!self.is_expired()).then_some(self)
    }

    fn is_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= OffsetDateTime::now_utc())
    }
}
