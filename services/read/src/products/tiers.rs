//! The tiers below one node, and the one rule that each of their answers must meet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cache::{Cache, Content, Entry};
use catalog::{ProductId, Sku};
use events::{Epoch, Position};
use freshness::{Provenance, Rejection};
use tokio::time::timeout;

use super::redis::Redis;
use super::{Answer, Forward, Trace};
use crate::error::ReadError;
use crate::log::SharedLog;
use crate::sources::{Source, Sources, Work, count_rejection};
use crate::store::{self, Stored};

/// Longest attempt to read from the databases: a replica that hangs and the primary fit in.
const FILL_MAX: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Tiers {
    redis: Redis,
    log: Arc<SharedLog>,
    sources: Arc<Sources>,
}

/// What Redis had.
pub(super) struct Asked {
    pub(super) admitted: HashMap<ProductId, Entry>,
    /// Why the others need a database.
    pub(super) why: Forward,
}

/// What a database had.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    pub(super) entries: Vec<(ProductId, Entry)>,
    pub(super) source: Source,
    /// Whether Redis now has it too.
    pub(super) is_stored: bool,
}

impl Tiers {
    pub(super) fn new(cache: Cache, log: Arc<SharedLog>, sources: Arc<Sources>) -> Self {
        Self { redis: Redis::new(cache), log, sources }
    }

    /// Asks Redis, unless the log vouches for nothing yet.
    pub(super) async fn ask_redis(&self, ids: &[ProductId]) -> Asked {
        let mut asked = Asked { admitted: HashMap::new(), why: Forward::Bypass };
        if !self.log.has_begun() {
            return asked;
        }
        let Some(held) = self.redis.get(ids).await else {
            count_requests("error", ids.len());
            return asked;
        };
        asked.why = Forward::Missing;
        for (id, entry) in ids.iter().zip(held) {
            let Some(entry) = entry else {
                count_requests("miss", 1);
                continue;
            };
            match self.log.admit_cached(*id, provenance(&entry)) {
                Ok(()) => {
                    count_requests("hit", 1);
                    self.log.answered(*id, provenance(&entry));
                    asked.admitted.insert(*id, entry);
                }
                Err(rejection) => {
                    count_requests("rejected", 1);
                    count_rejection("redis", rejection);
                    asked.why = Forward::Stale;
                }
            }
        }
        asked
    }

    /// Reads `ids` from a database and puts what it found into Redis.
    pub(super) async fn fill(self: Arc<Self>, ids: Vec<ProductId>) -> Result<Filled, ReadError> {
        let read = self.sources.read(
            Work::Lookup,
            |connection, ids| Box::pin(store::products_by_id(connection, ids)),
            &ids[..],
            |stored, epoch, read_at| self.admit(stored, epoch, read_at),
        );
        let read = timeout(FILL_MAX, read).await.map_err(|_| ReadError::Late)??;
        let entries: Vec<(ProductId, Entry)> =
            read.value.into_iter().map(|stored| (stored.id, entry(stored, read.epoch, read.read_at))).collect();
        // Not trusted by whoever reads it, so nothing needs to be looked at again.
        let is_stored = self.log.has_begun() && self.redis.fill(&entries).await;
        Ok(Filled { entries, source: read.source, is_stored })
    }

    /// Whether what a database had may be answered now; if so, it is answered.
    pub(super) fn admit_again(&self, filled: &Filled) -> Result<(), Rejection> {
        for (id, entry) in &filled.entries {
            self.log.admit_row(*id, provenance(entry))?;
        }
        for (id, entry) in &filled.entries {
            self.log.answered(*id, provenance(entry));
        }
        Ok(())
    }

    /// Reads `skus` from a database.
    pub(super) async fn read_skus(&self, skus: &[Sku]) -> Result<Answer<HashMap<Sku, Entry>>, ReadError> {
        let read = self.sources.read(
            Work::Lookup,
            |connection, skus| Box::pin(store::products_by_sku(connection, skus)),
            skus,
            |stored, epoch, read_at| self.admit(stored, epoch, read_at),
        );
        let read = timeout(FILL_MAX, read).await.map_err(|_| ReadError::Late)??;
        let mut value = HashMap::new();
        for stored in read.value {
            let (id, sku) = (stored.id, stored.product.as_ref().map(|product| product.sku.clone()));
            let entry = entry(stored, read.epoch, read.read_at);
            self.log.answered(id, provenance(&entry));
            value.extend(sku.map(|sku| (sku, entry)));
        }
        Ok(Answer { value, trace: Trace::bypassed(read.source) })
    }

    fn admit(&self, stored: &[Stored], epoch: Epoch, read_at: Position) -> Result<(), Rejection> {
        self.log.admit_page(epoch, read_at)?;
        stored.iter().try_for_each(|stored| {
            self.log.admit_row(stored.id, Provenance { epoch, version: stored.version, read_at })
        })
    }
}

fn entry(stored: Stored, epoch: Epoch, read_at: Position) -> Entry {
    let content = stored.product.map_or(Content::Absent, |product| Content::Product(Bytes::from(product.to_json())));
    Entry { epoch, version: stored.version, read_at, content }
}

fn provenance(entry: &Entry) -> Provenance {
    Provenance { epoch: entry.epoch, version: entry.version, read_at: entry.read_at }
}

fn count_requests(result: &'static str, requests: usize) {
    metrics::counter!("freshet_cache_requests_total", "tier" => "redis", "result" => result)
        .increment(u64::try_from(requests).unwrap_or(u64::MAX));
}
