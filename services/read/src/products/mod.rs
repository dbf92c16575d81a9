//! Products by id and by sku, each from the first tier whose answer may be served.

mod flight;
mod redis;
mod status;
mod tiers;

use std::collections::HashMap;
use std::sync::Arc;

use cache::{Cache, Entry};
use catalog::{ProductId, Sku};

use crate::error::ReadError;
use crate::log::SharedLog;
use crate::sources::Sources;
use flight::Flights;
pub(crate) use status::{Forward, Trace};
use tiers::{Filled, Tiers};

/// Attempts that one caller joins until the outcome may be served: for each of them an event must have come in between.
const FLIGHTS_MAX: usize = 3;

/// The way to products.
#[derive(Debug)]
pub(crate) struct Products {
    tiers: Arc<Tiers>,
    flights: Flights<ProductId, Result<Filled, ReadError>>,
}

/// What was found, and how far the search went.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    pub(crate) value: T,
    pub(crate) trace: Trace,
}

impl Products {
    pub(crate) fn new(cache: Cache, log: Arc<SharedLog>, sources: Arc<Sources>) -> Self {
        Self { tiers: Arc::new(Tiers::new(cache, log, sources)), flights: Flights::new() }
    }

    /// What is known of one product. Callers at the same time share one read of the database.
    pub(crate) async fn get(&self, id: ProductId) -> Result<Answer<Entry>, ReadError> {
        let mut asked = self.tiers.ask_redis(&[id]).await;
        if let Some(value) = asked.admitted.remove(&id) {
            return Ok(Answer { value, trace: Trace::Hit });
        }
        for _ in 0..FLIGHTS_MAX {
            let landed = self.flights.join(id, Arc::clone(&self.tiers).fill(vec![id])).await;
            let filled = landed.outcome.ok_or(ReadError::Lost)??;
            // Again, by each caller for itself: the log may have moved on since the attempt read.
            if self.tiers.admit_again(&filled).is_ok() {
                let value = filled.entries.into_iter().map(|(_, entry)| entry).next().ok_or(ReadError::Lost)?;
                let (source, is_stored) = (filled.source, filled.is_stored);
                let trace = Trace::Forwarded { why: asked.why, source, is_stored, is_collapsed: landed.is_collapsed };
                return Ok(Answer { value, trace });
            }
        }
        Err(ReadError::Behind)
    }

    /// What is known of each of `ids`: one question to Redis, and one to a database for the rest.
    pub(crate) async fn by_ids(&self, ids: &[ProductId]) -> Result<Answer<HashMap<ProductId, Entry>>, ReadError> {
        let asked = self.tiers.ask_redis(ids).await;
        let rest: Vec<ProductId> = ids.iter().copied().filter(|id| !asked.admitted.contains_key(id)).collect();
        let mut value = asked.admitted;
        if rest.is_empty() {
            return Ok(Answer { value, trace: Trace::Hit });
        }
        let why = if value.is_empty() { asked.why } else { Forward::Partial };
        let filled = Arc::clone(&self.tiers).fill(rest).await?;
        self.tiers.admit_again(&filled).map_err(|_| ReadError::Behind)?;
        value.extend(filled.entries);
        let trace = Trace::Forwarded { why, source: filled.source, is_stored: filled.is_stored, is_collapsed: false };
        Ok(Answer { value, trace })
    }

    /// The live products that have one of `skus`, straight from a database: Redis knows products by id only.
    pub(crate) async fn by_skus(&self, skus: &[Sku]) -> Result<Answer<HashMap<Sku, Entry>>, ReadError> {
        self.tiers.read_skus(skus).await
    }
}
