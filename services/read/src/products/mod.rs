//! Products by id and by sku, each from the first tier whose answer may be served.

mod flight;
mod redis;
mod status;
mod tiers;

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::HeaderValue;
use cache::{Cache, Entry};
use catalog::{ProductId, Sku};
use freshness::{Need, Requirement};

use crate::error::ReadError;
use crate::log::SharedLog;
use crate::sources::Sources;
use flight::Flights;
pub(crate) use status::{Forward, NearMiss, Trace};
use tiers::{Filled, Tiers};

/// Attempts that one caller joins until the outcome may be served: for each of them an event must have come in between.
const FLIGHTS_MAX: usize = 3;

/// The way to products.
#[derive(Debug)]
pub(crate) struct Products {
    log: Arc<SharedLog>,
    tiers: Arc<Tiers>,
    flights: Flights<ProductId, Result<Filled, ReadError>>,
}

/// What was found, and how far the search went.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) trace: Trace,
}

/// Products by their skus, and the `Catalog-As-Of` of the database that was asked.
type BySku = (Answer<HashMap<Sku, Entry>>, Option<HeaderValue>);

impl Products {
    pub(crate) fn new(cache: Cache, log: Arc<SharedLog>, sources: Arc<Sources>) -> Self {
        let tiers = Arc::new(Tiers::new(cache, Arc::clone(&log), sources));
        Self { log, tiers, flights: Flights::new() }
    }

    /// What is known of one product. Callers at the same time share one read of the database.
    async fn get(&self, id: ProductId) -> Result<Answer<Entry>, ReadError> {
        let (mut kept, near) = self.tiers.ask_near(&[id]);
        if let Some(value) = kept.remove(&id) {
            return Ok(Answer { value, trace: Trace::Near });
        }
        let mut asked = self.tiers.ask_redis(&[id]).await;
        if let Some(value) = asked.admitted.remove(&id) {
            return Ok(Answer { value, trace: Trace::Redis(near.stored(asked.is_kept)) });
        }
        for _ in 0..FLIGHTS_MAX {
            let landed = self.flights.join(id, Arc::clone(&self.tiers).fill(vec![id])).await;
            let filled = landed.outcome.ok_or(ReadError::Lost)??;
            // Again, by each caller for itself: the log may have moved on since the attempt read.
            if let Ok(is_kept) = self.tiers.admit_again(&filled) {
                let value = filled.entries.into_iter().map(|(_, entry)| entry).next().ok_or(ReadError::Lost)?;
                let (why, source, is_stored) = (asked.why, filled.source, filled.is_stored);
                let (is_collapsed, near) = (landed.is_collapsed, near.stored(is_kept));
                return Ok(Answer { value, trace: Trace::Forwarded { why, source, is_stored, is_collapsed, near } });
            }
        }
        Err(ReadError::Behind)
    }

    /// What is known of each of `ids`: what is near, then one question to Redis, and one to a database for the rest.
    async fn by_ids(&self, ids: &[ProductId]) -> Result<Answer<HashMap<ProductId, Entry>>, ReadError> {
        let rest_of = |ids: &[ProductId], known: &HashMap<ProductId, Entry>| -> Vec<ProductId> {
            ids.iter().copied().filter(|id| !known.contains_key(id)).collect()
        };
        let (mut value, near) = self.tiers.ask_near(ids);
        let rest = rest_of(ids, &value);
        if rest.is_empty() {
            return Ok(Answer { value, trace: Trace::Near });
        }
        let asked = self.tiers.ask_redis(&rest).await;
        let (why, near) = (asked.why_of_rest(), near.stored(asked.is_kept));
        value.extend(asked.admitted);
        let rest = rest_of(ids, &value);
        if rest.is_empty() {
            return Ok(Answer { value, trace: Trace::Redis(near) });
        }
        let filled = Arc::clone(&self.tiers).fill(rest).await?;
        let is_kept = self.tiers.admit_again(&filled).map_err(|_| ReadError::Behind)?;
        value.extend(filled.entries);
        let (source, is_stored, near) = (filled.source, filled.is_stored, near.stored(is_kept));
        Ok(Answer { value, trace: Trace::Forwarded { why, source, is_stored, is_collapsed: false, near } })
    }

    /// What is known of one product, with everything that the tokens name.
    pub(crate) async fn get_including(
        &self,
        id: ProductId,
        including: &Requirement,
    ) -> Result<Answer<Entry>, ReadError> {
        if self.log.need_of(including) != Need::Primary {
            let answer = self.get(id).await?;
            // Its version says enough, whatever the log has yet to bring.
            if including.is_empty() || self.log.meets(including, id, tiers::provenance(&answer.value)) {
                return Ok(answer);
            }
            if self.log.reaches(including).await {
                return self.get(id).await;
            }
        }
        let mut answer = self.past_the_caches(&[id], including).await?;
        let value = answer.value.remove(&id).ok_or(ReadError::Lost)?;
        Ok(Answer { value, trace: answer.trace })
    }

    /// What is known of each of `ids`, with everything that the tokens name.
    pub(crate) async fn by_ids_including(
        &self,
        ids: &[ProductId],
        including: &Requirement,
    ) -> Result<Answer<HashMap<ProductId, Entry>>, ReadError> {
        if self.log.reaches(including).await {
            return self.by_ids(ids).await;
        }
        self.past_the_caches(ids, including).await
    }

    /// Past every cache, from a database that has what the tokens name.
    async fn past_the_caches(
        &self,
        ids: &[ProductId],
        including: &Requirement,
    ) -> Result<Answer<HashMap<ProductId, Entry>>, ReadError> {
        let filled = self.tiers.fill_including(ids, including).await?;
        self.tiers.admit_again(&filled).map_err(|_| ReadError::Behind)?;
        let trace = Trace::bypassed(filled.source);
        Ok(Answer { value: filled.entries.into_iter().collect(), trace })
    }

    /// The live products that have one of `skus`, straight from a database: Redis knows products by id only.
    pub(crate) async fn by_skus(&self, skus: &[Sku], including: &Requirement) -> Result<BySku, ReadError> {
        self.tiers.read_skus(skus, including).await
    }
}
