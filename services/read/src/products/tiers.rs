//! The tiers below one node, and the one rule that each of their answers must meet.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache::{Content, Entry};
use catalog::{ProductId, Sku};
use events::{Epoch, Position};
use freshness::{Provenance, Rejection, Requirement};
use quick_cache::sync::Cache;
use tokio::time::timeout;

use super::{Forward, NearMiss};
use crate::demand::Demand;
use crate::error::{ReadError, Refusal};
use crate::log::{NearBypass, SharedLog};
use crate::measures;
use crate::redis::Redis;
use crate::sources::{Sourced, Sources, Way, Work};
use crate::store::{self, Stored};

/// Longest attempt to read from the databases: a replica that hangs and the primary fit in.
const FILL_MAX: Duration = Duration::from_secs(4);

/// Skus whose products are remembered: some ten megabytes.
const SKUS_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Tiers {
    redis: Arc<Redis>,
    log: Arc<SharedLog>,
    sources: Arc<Sources>,
    /// Which product had a sku when it was last read by it. Only a hint: the product itself says whether it still has.
    skus: Cache<Sku, ProductId>,
}

/// Products by their skus, where and when they were read, and whether Redis has them now too.
pub(super) struct FoundBySku {
    pub(super) entries: HashMap<Sku, Entry>,
    pub(super) read: Sourced<()>,
    pub(super) is_stored: bool,
    /// Whether all are kept near.
    pub(super) is_kept: bool,
}

/// What Redis had.
pub(super) struct Asked {
    pub(super) admitted: HashMap<ProductId, Entry>,
    /// Why the others need a database.
    pub(super) why: Forward,
    /// Whether all that was admitted is kept near now.
    pub(super) is_kept: bool,
}

impl Asked {
    /// Why a database is asked for what Redis did not have.
    pub(super) fn why_of_rest(&self) -> Forward {
        if self.admitted.is_empty() { self.why } else { Forward::Partial }
    }
}

/// What a database had.
#[derive(Clone, Debug)]
pub(super) struct Filled {
    pub(super) entries: Vec<(ProductId, Entry)>,
    /// Where and when.
    pub(super) read: Sourced<()>,
    /// Whether Redis now has it too.
    pub(super) is_stored: bool,
}

impl Tiers {
    pub(super) fn new(redis: Arc<Redis>, log: Arc<SharedLog>, sources: Arc<Sources>) -> Self {
        Self { redis, log, sources, skus: Cache::new(SKUS_MAX) }
    }

    /// Asks Redis, unless the log vouches for nothing yet.
    pub(super) async fn ask_redis(&self, ids: &[ProductId]) -> Asked {
        let mut asked = Asked { admitted: HashMap::new(), why: Forward::Bypass, is_kept: true };
        if !self.log.has_begun() {
            measures::cache_requests("redis", "bypass", ids.len());
            return asked;
        }
        let Some(held) = self.redis.get(ids).await else {
            measures::cache_requests("redis", "error", ids.len());
            return asked;
        };
        asked.why = Forward::Missing;
        for (id, entry) in ids.iter().zip(held) {
            let Some(entry) = entry else {
                measures::cache_requests("redis", "miss", 1);
                continue;
            };
            match self.log.answer_cached(*id, provenance(&entry)) {
                Ok(()) => {
                    measures::cache_requests("redis", "hit", 1);
                    asked.is_kept &= self.log.keep_near(*id, &entry);
                    asked.admitted.insert(*id, entry);
                }
                Err(rejection) => {
                    measures::cache_requests("redis", "rejected", 1);
                    measures::rejected("redis", rejection);
                    asked.why = Forward::Stale;
                }
            }
        }
        asked
    }

    /// Reads `ids` from a database that has what the tokens name, and puts what it found into Redis.
    pub(super) async fn fill(
        &self,
        ids: &[ProductId],
        way: &Way,
        including: &Requirement,
    ) -> Result<Filled, ReadError> {
        let read = self.sources.read(
            way,
            Work::Lookup,
            |connection, ids| Box::pin(store::products_by_id(connection, ids)),
            ids,
            |answer| self.admit(answer, including),
        );
        let read = timeout(FILL_MAX, read).await.map_err(|_| ReadError::Late)??;
        let (stored, read) = read.split();
        let entries: Vec<(ProductId, Entry)> =
            stored.into_iter().map(|stored| (stored.id, entry(stored, read.epoch, read.read_at))).collect();
        // Not trusted by whoever reads it, so nothing needs to be looked at again.
        let is_stored = self.log.has_begun() && self.redis.fill(&entries).await;
        Ok(Filled { entries, read, is_stored })
    }

    /// A place to read past every cache and replica.
    pub(super) async fn way_past(self: Arc<Self>) -> Result<Way, ReadError> {
        self.sources.way(true).await
    }

    /// Whether what a database had may be answered now; if so, it is answered, and kept near if the result says so.
    pub(super) fn admit_again(&self, filled: &Filled) -> Result<bool, Rejection> {
        for (id, entry) in &filled.entries {
            self.log.admit_row(*id, provenance(entry))?;
        }
        let mut is_kept = true;
        for (id, entry) in &filled.entries {
            self.log.answer_row(*id, provenance(entry))?;
            is_kept &= self.log.keep_near(*id, entry);
        }
        Ok(is_kept)
    }

    /// Passes the caches over, for a request that wants no answer from there; what `near` says of that.
    pub(super) fn pass(&self, products: usize) -> NearMiss {
        measures::cache_requests("redis", "bypass", products);
        if self.log.keeps_near() {
            measures::cache_requests("near", "bypass", products);
            NearMiss::Request { is_stored: false }
        } else {
            NearMiss::Unused
        }
    }

    /// Looks at what is kept near, for each of `ids`; for the others, why it was not there.
    pub(super) fn ask_near(&self, ids: &[ProductId]) -> (HashMap<ProductId, Entry>, NearMiss) {
        let (mut kept, now) = (HashMap::new(), Instant::now());
        if !self.log.keeps_near() {
            return (kept, NearMiss::Unused);
        }
        for id in ids {
            match self.log.near(*id, now) {
                Ok(Some(near)) => {
                    kept.insert(*id, near.entry.clone());
                }
                Ok(None) => {}
                Err(NearBypass::Unused) => return (kept, NearMiss::Unused),
                Err(NearBypass::Silence) => {
                    measures::cache_requests("near", "bypass", ids.len());
                    return (HashMap::new(), NearMiss::Silence);
                }
            }
        }
        measures::cache_requests("near", "hit", kept.len());
        measures::cache_requests("near", "miss", ids.len() - kept.len());
        let miss = if kept.is_empty() { NearMiss::Missing { is_stored: false } } else { NearMiss::Partial };
        (kept, miss)
    }

    /// The products that had these skus when they were last read by them.
    pub(super) fn hints(&self, skus: &[Sku]) -> Vec<(Sku, ProductId)> {
        skus.iter().filter_map(|sku| Some((sku.clone(), self.skus.get(sku)?))).collect()
    }

    /// Reads `skus` from a database, and puts what it found into Redis and near.
    pub(super) async fn read_skus(&self, skus: &[Sku], demand: &Demand) -> Result<FoundBySku, ReadError> {
        let way = self.sources.way(demand.no_cache).await?;
        let read = self.sources.read(
            &way,
            Work::Lookup,
            |connection, skus| Box::pin(store::products_by_sku(connection, skus)),
            skus,
            |answer| self.admit(answer, &demand.including),
        );
        let (stored, read) = timeout(FILL_MAX, read).await.map_err(|_| ReadError::Late)??.split();
        let (mut entries, mut named) = (Vec::new(), Vec::new());
        for stored in stored {
            let (id, sku) = (stored.id, stored.product.as_ref().map(|product| product.sku.clone()));
            entries.push((id, entry(stored, read.epoch, read.read_at)));
            named.push(sku);
        }
        let is_stored = !entries.is_empty() && self.log.has_begun() && self.redis.fill(&entries).await;
        let mut found = FoundBySku { entries: HashMap::new(), read, is_stored, is_kept: true };
        for ((id, entry), sku) in entries.into_iter().zip(named) {
            // Something newer may have been heard while Redis was asked.
            self.log.answer_row(id, provenance(&entry)).map_err(|_| ReadError::Behind)?;
            found.is_kept &= self.log.keep_near(id, &entry);
            if let Some(sku) = sku {
                self.skus.insert(sku.clone(), id);
                found.entries.insert(sku, entry);
            }
        }
        Ok(found)
    }

    fn admit(&self, answer: &Sourced<Vec<Stored>>, including: &Requirement) -> Result<(), Refusal> {
        let &Sourced { epoch, read_at, .. } = answer;
        self.log.admit_page(epoch, read_at)?;
        for stored in &answer.value {
            self.log.admit_row(stored.id, Provenance { epoch, version: stored.version, read_at })?;
        }
        answer.includes(including)
    }
}

fn entry(stored: Stored, epoch: Epoch, read_at: Position) -> Entry {
    let content = stored.product.map_or(Content::Absent, |product| Content::Product(Bytes::from(product.to_json())));
    Entry { epoch, version: stored.version, read_at, content }
}

pub(super) fn provenance(entry: &Entry) -> Provenance {
    Provenance { epoch: entry.epoch, version: entry.version, read_at: entry.read_at }
}
