//! Lets a request in by its key, or says why not.

use std::fmt;
use std::sync::{Arc, Mutex};

use sqlx::PgPool;

use super::known::{Kept, Known};
use super::uses::Uses;
use super::{KeyId, PresentedKey, Scope};

/// The keys of one instance; clones share what it knows.
#[derive(Clone, Debug)]
pub struct Keys(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) pool: PgPool,
    /// None where there is one instance only: then nobody else is to hear of a revocation.
    pub(super) nats: Option<async_nats::Client>,
    pub(super) kept: Kept,
    pub(super) uses: Mutex<Uses>,
}

/// Who makes a request: the key that it was let in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub key: KeyId,
    /// As whoever created the key has named it; not unique.
    pub name: Arc<str>,
}

/// Why a request is not let in.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KeyRefusal {
    /// None, or one that is malformed, unknown, false, expired or revoked: which of them is nobody's business.
    #[error("a valid API key is needed, as `Authorization: Bearer <key>`")]
    NoGoodKey,
    #[error("this needs an API key with the scope {0}")]
    NotAllowed(Scope),
    /// Nothing is known of the key, good or bad.
    #[error("the API key could not be checked, and nothing was changed")]
    NotChecked(#[source] Arc<sqlx::Error>),
}

/// What a request was let in for. Whoever works on for longer than a moment asks again.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    keys: Keys,
    actor: Actor,
    scope: Scope,
}

impl Keys {
    /// `nats` is where instances tell each other of revocations.
    pub fn new(pool: PgPool, nats: Option<async_nats::Client>) -> Self {
        Self(Arc::new(Inner { pool, nats, kept: Kept::new(), uses: Mutex::default() }))
    }

    /// Lets in whoever brings a good key with the scope; from then on the request's log lines name them.
    pub(crate) async fn permit(&self, presented: Option<PresentedKey>, scope: Scope) -> Result<Permit, KeyRefusal> {
        let presented = presented.ok_or(KeyRefusal::NoGoodKey)?;
        let known = self.find(presented.id).await?.filter(|known| known.hash.is(&presented.hash));
        let known = known.ok_or(KeyRefusal::NoGoodKey)?;
        bootstrap::name_actor(&known.label);
        if known.is_first_use() {
            self.note_use(known.actor.key);
        }
        known.require(scope)?;
        Ok(Permit { keys: self.clone(), actor: known.actor.clone(), scope })
    }

    async fn find(&self, id: KeyId) -> Result<Option<Arc<Known>>, KeyRefusal> {
        self.0.kept.find(id, &self.0.pool).await.map_err(|error| KeyRefusal::NotChecked(Arc::new(error)))
    }
}

impl Known {
    fn require(&self, scope: Scope) -> Result<(), KeyRefusal> {
        if self.scopes.has(scope) { Ok(()) } else { Err(KeyRefusal::NotAllowed(scope)) }
    }
}

impl Permit {
    pub(crate) const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether the key is still good for what it was good for.
    pub(crate) async fn renew(&self) -> Result<(), KeyRefusal> {
        // Its holder has proved to be that, and a key's hash never changes.
        let known = self.keys.find(self.actor.key).await?;
        known.ok_or(KeyRefusal::NoGoodKey)?.require(self.scope)
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.key)
    }
}
