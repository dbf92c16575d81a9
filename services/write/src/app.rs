//! What every handler shares.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::{Notify, Semaphore};

use crate::commit::Patches;
use crate::keys::Keys;

/// Imports and bulk patches at a time: each takes a connection while it stores, and the pool has twice as many by default.
const BULKS_MAX: usize = 8;

#[derive(Clone, Debug)]
pub struct App {
    pub primary: Primary,
    pub keys: Keys,
    pub(crate) patches: Patches,
    /// A place for each bulk.
    pub(crate) bulks: Arc<Semaphore>,
}

/// Where changes are stored, and who is to hear of it.
#[derive(Clone, Debug)]
pub struct Primary {
    pub pool: PgPool,
    /// Told after every commit that left events in the outbox.
    pub committed: Arc<Notify>,
}

impl App {
    /// Within a runtime, which stores the patches. `nats` is where other instances hear of revoked keys.
    pub fn new(pool: PgPool, nats: Option<async_nats::Client>) -> Self {
        let keys = Keys::new(pool.clone(), nats);
        let primary = Primary { pool, committed: Arc::default() };
        Self { patches: Patches::begin(primary.clone()), primary, keys, bulks: Arc::new(Semaphore::new(BULKS_MAX)) }
    }
}
