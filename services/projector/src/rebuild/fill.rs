//! The two halves of a step: read the next products, put them into Redis.

use std::time::Duration;

use anyhow::Context;
use cache::{Cache, Content, Entry};
use catalog::{Product, ProductId};
use events::{Epoch, Position};
use time::OffsetDateTime;
use tokio::time::sleep;

use super::Source;
use crate::store;

/// Products in one query: enough that the query's own cost is small, some MB at most.
pub(super) const BATCH_MAX: usize = 500;
/// Entries in one round trip: with the longest texts some 6 MB, which a healthy Redis takes in well under its timeout.
const FILL_MAX: usize = 100;
/// A Redis that is restarted is back within this many waits of this length; one that is not is told of.
const RETRIES_MAX: usize = 20;
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// A rebuild under way.
pub struct Rebuild {
    source: Source,
    pub(super) cache: Cache,
    batch_size: usize,
    /// The id of the last product read.
    after: i64,
    /// The highest id when it began.
    last_id: i64,
    read: u64,
    written: u64,
}

impl Rebuild {
    pub async fn begin(mut source: Source, cache: Cache, batch_size: usize) -> anyhow::Result<Self> {
        let last_id = store::last_id(&mut source.connection).await.with_context(|| format!("{source} fails"))?;
        let batch_size = batch_size.clamp(1, BATCH_MAX);
        Ok(Self { source, cache, batch_size, after: 0, last_id, read: 0, written: 0 })
    }

    /// The next products in order of their ids; `None` after the last.
    ///
    /// # Errors
    /// The database fails. To begin again is safe.
    pub async fn read_next(&mut self) -> anyhow::Result<Option<Vec<(ProductId, Entry)>>> {
        let batch =
            self.read_batch().await.with_context(|| format!("{} fails; to begin again is safe", self.source))?;
        let Some((last, _)) = batch.last() else { return Ok(None) };
        self.after = last.get();
        self.read += batch.len() as u64;
        Ok(Some(batch))
    }

    async fn read_batch(&mut self) -> Result<Vec<(ProductId, Entry)>, sqlx::Error> {
        let connection = &mut self.source.connection;
        // In a statement of its own, before the query's snapshot: every change below it is visible to the query.
        let read_at = store::position(connection).await?;
        let limit = i64::try_from(self.batch_size).expect("a batch is small");
        let (epoch, products) = store::live_products(connection, self.after, limit).await?;
        Ok(products.into_iter().map(|product| (product.id, entry(&product, epoch, read_at))).collect())
    }

    /// Puts entries into Redis, each unless a newer one is held.
    ///
    /// # Errors
    /// Redis does not answer for some seconds. To begin again is safe.
    pub async fn fill(&mut self, batch: &[(ProductId, Entry)]) -> anyhow::Result<()> {
        for entries in batch.chunks(FILL_MAX) {
            self.written += self.fill_patiently(entries).await? as u64;
        }
        Ok(())
    }

    async fn fill_patiently(&self, entries: &[(ProductId, Entry)]) -> anyhow::Result<usize> {
        for _ in 0..RETRIES_MAX {
            if let Ok(written) = self.cache.fill(entries).await {
                return Ok(written);
            }
            sleep(RETRY_DELAY).await;
        }
        self.cache.fill(entries).await.context("the entries cannot be written; to begin again is safe")
    }

    /// How many products have been read.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// How many entries were written; for the others Redis held the same or a newer one.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The id of the last product read.
    pub(super) fn after(&self) -> i64 {
        self.after
    }

    pub(super) fn last_id(&self) -> i64 {
        self.last_id
    }

    /// What was committed before is in what was read; `None` if that is not known.
    pub(super) fn shown_until(&self) -> Option<OffsetDateTime> {
        self.source.shown_until
    }
}

fn entry(product: &Product, epoch: Epoch, read_at: Position) -> Entry {
    Entry { epoch, version: product.version, read_at, content: Content::Product(product.to_json().into()) }
}
