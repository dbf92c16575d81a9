//! What every handler shares.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::Notify;

#[derive(Clone, Debug)]
pub struct App {
    pub pool: PgPool,
    /// Told after every commit that left events in the outbox.
    pub committed: Arc<Notify>,
}

impl App {
    pub fn new(pool: PgPool) -> Self {
        Self { pool, committed: Arc::default() }
    }
}
