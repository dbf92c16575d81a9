//! What every handler shares.

use std::sync::Arc;

use catalog::{ProductId, Version};
use events::{Epoch, Position};
use freshness::Token;
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::store;

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

    /// The token of what is committed by now; `product` is what a single-product write made of its product.
    ///
    /// A write whose token cannot be made is stored all the same: its token then asks for the primary.
    pub(crate) async fn token(&self, product: Option<(ProductId, Version)>) -> Token {
        let moment = async {
            let mut connection = self.pool.acquire().await?;
            store::moment(&mut connection).await
        };
        let (epoch, position) = moment.await.unwrap_or_else(|error| {
            tracing::warn!(%error, "token_not_made");
            (Epoch(0), Position(0))
        });
        Token { epoch, position, product }
    }
}
