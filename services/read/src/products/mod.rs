//! Products by id and by sku, each from the first tier whose answer may be served.

mod status;
mod tiers;

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::HeaderValue;
use cache::{Content, Entry};
use catalog::{ProductId, Sku};
use freshness::Requirement;
use serde::Deserialize;

use crate::demand::Demand;
use crate::error::ReadError;
use crate::flight::Flights;
use crate::log::{AsOf, SharedLog};
use crate::measures;
use crate::redis::Redis;
use crate::sources::{Sources, Way};
pub(crate) use status::{Forward, NearMiss, Trace};
use tiers::{Filled, FoundBySku, Tiers};

/// Attempts until their outcome may be served: for each of them an event must have come in between.
const FLIGHTS_MAX: usize = 3;

/// The way to products.
#[derive(Debug)]
pub(crate) struct Products {
    log: Arc<SharedLog>,
    tiers: Arc<Tiers>,
    flights: Flights<ProductId, Result<Filled, ReadError>>,
    /// Those past every cache and replica.
    flights_past: Flights<ProductId, Result<Filled, ReadError>>,
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
    pub(crate) fn new(redis: Arc<Redis>, log: Arc<SharedLog>, sources: Arc<Sources>) -> Self {
        let tiers = Arc::new(Tiers::new(redis, Arc::clone(&log), sources));
        Self { log, tiers, flights: Flights::new(), flights_past: Flights::new() }
    }

    /// What is known of one product, with everything that is demanded.
    pub(crate) async fn get(&self, id: ProductId, demand: &Demand) -> Result<Answer<Entry>, ReadError> {
        counted(demand, self.get_demanded(id, demand).await)
    }

    async fn get_demanded(&self, id: ProductId, demand: &Demand) -> Result<Answer<Entry>, ReadError> {
        let including = &demand.including;
        if demand.no_cache {
            return self.get_past(id, including).await;
        }
        if !self.log.needs_primary(including) {
            // Before the look: the log may bring a write right after it.
            let unmet = self.log.beyond(including);
            let answer = self.get_nearest(id).await?;
            // Its version says enough, whatever the log has yet to bring.
            if unmet.is_met_by_version(id, tiers::provenance(&answer.value)) {
                return Ok(answer);
            }
            if self.log.reaches(including).await {
                return self.get_nearest(id).await;
            }
        }
        let mut answer = self.by_ids_past(&[id], demand).await?;
        let value = answer.value.remove(&id).ok_or(ReadError::Lost)?;
        Ok(Answer { value, trace: answer.trace })
    }

    /// What is known of each of `ids`, with everything that is demanded.
    pub(crate) async fn by_ids(
        &self,
        ids: &[ProductId],
        demand: &Demand,
    ) -> Result<Answer<HashMap<ProductId, Entry>>, ReadError> {
        let is_nearest = !demand.no_cache && self.log.reaches(&demand.including).await;
        let answer = if is_nearest { self.by_ids_nearest(ids).await } else { self.by_ids_past(ids, demand).await };
        counted(demand, answer)
    }

    /// The live products that have one of `skus`, with everything that is demanded.
    pub(crate) async fn by_skus(&self, skus: &[Sku], demand: &Demand) -> Result<BySku, ReadError> {
        let is_nearest = !demand.no_cache && self.log.reaches(&demand.including).await;
        let read =
            if is_nearest { self.by_skus_nearest(skus, demand).await } else { self.by_skus_past(skus, demand).await };
        measures::demanded(demand, read.as_ref().map(|(answer, _)| &answer.trace));
        read
    }

    /// From near and Redis, as far as it is known there which products have them, and the rest by one read of a database.
    async fn by_skus_nearest(&self, skus: &[Sku], demand: &Demand) -> Result<BySku, ReadError> {
        let as_of = self.log.as_of();
        let hints = self.tiers.hints(skus);
        let ids: Vec<ProductId> = hints.iter().map(|(_, id)| *id).collect();
        let (mut known, near) = self.tiers.ask_near(&ids);
        let rest = rest_of(&ids, &known);
        let (mut why, mut trace) = (Forward::Bypass, Trace::Near);
        if !rest.is_empty() {
            let asked = self.tiers.ask_redis(&rest).await;
            (why, trace) = (asked.why_of_rest(), Trace::Redis(near.stored(asked.is_kept)));
            known.extend(asked.admitted);
        }
        let entries = hints.into_iter().filter_map(|(sku, id)| Some((sku, known.remove(&id)?)));
        let mut value: HashMap<Sku, Entry> = entries.filter(|(sku, entry)| has_sku(entry, sku)).collect();
        let oldest = value.values().map(|entry| entry.epoch).min();
        let as_of = AsOf::header_for(as_of.as_deref(), oldest.unwrap_or_default());
        let rest: Vec<Sku> = skus.iter().filter(|sku| !value.contains_key(*sku)).cloned().collect();
        if rest.is_empty() {
            return Ok((Answer { value, trace }, as_of));
        }
        // With all that is demanded: no floor says of a sku that is not found whether the database only lacks it still.
        let FoundBySku { entries, read, is_stored, is_kept } = self.read_skus(&rest, demand).await?;
        if oldest.is_some_and(|oldest| oldest != read.epoch) {
            // What was known is of another life of the database.
            return self.by_skus_past(skus, demand).await;
        }
        let read_as_of = self.log.as_of_source(read.epoch, read.read_at);
        // Both are of one form, in which the earlier moment is the lesser text.
        let as_of =
            if value.is_empty() { read_as_of } else { as_of.zip(read_as_of).map(|(one, other)| one.min(other)) };
        let why = if value.is_empty() { why } else { Forward::Partial };
        value.extend(entries);
        let near = near.stored(is_kept);
        let trace = Trace::Forwarded { why, source: read.source, is_stored, is_collapsed: false, near };
        Ok((Answer { value, trace }, as_of))
    }

    /// From a database that has what is demanded.
    async fn by_skus_past(&self, skus: &[Sku], demand: &Demand) -> Result<BySku, ReadError> {
        let FoundBySku { entries, read, .. } = self.read_skus(skus, demand).await?;
        let as_of = self.log.as_of_source(read.epoch, read.read_at);
        Ok((Answer { value: entries, trace: Trace::past(demand, read.source) }, as_of))
    }

    /// What a database has of `skus`, all of which may be answered now.
    async fn read_skus(&self, skus: &[Sku], demand: &Demand) -> Result<FoundBySku, ReadError> {
        for _ in 1..FLIGHTS_MAX {
            match self.tiers.read_skus(skus, demand).await {
                Err(ReadError::Behind) => {}
                read => return read,
            }
        }
        self.tiers.read_skus(skus, demand).await
    }

    /// From the first tier that has it. Callers at the same time share one read of the database.
    async fn get_nearest(&self, id: ProductId) -> Result<Answer<Entry>, ReadError> {
        let (mut kept, near) = self.tiers.ask_near(&[id]);
        if let Some(value) = kept.remove(&id) {
            return Ok(Answer { value, trace: Trace::Near });
        }
        let mut asked = self.tiers.ask_redis(&[id]).await;
        if let Some(value) = asked.admitted.remove(&id) {
            return Ok(Answer { value, trace: Trace::Redis(near.stored(asked.is_kept)) });
        }
        for _ in 0..FLIGHTS_MAX {
            let tiers = Arc::clone(&self.tiers);
            let fill = async move { tiers.fill(&[id], &Way::Nearest, &Requirement::default()).await };
            let landed = self.flights.join(id, fill).await;
            let filled = landed.outcome.ok_or(ReadError::Lost)??;
            if let Some(answer) = self.land(filled, asked.why, landed.is_collapsed, near)? {
                return Ok(answer);
            }
        }
        Err(ReadError::Behind)
    }

    /// From the primary, by a read that begins after the caller has come; callers who wait for a place share one.
    async fn get_past(&self, id: ProductId, including: &Requirement) -> Result<Answer<Entry>, ReadError> {
        let near = self.tiers.pass(1);
        for _ in 0..FLIGHTS_MAX {
            let (waiting, tiers) = (Arc::clone(&self.tiers), Arc::clone(&self.tiers));
            let read = async move |way: Result<Way, ReadError>| tiers.fill(&[id], &way?, &Requirement::default()).await;
            let landed = self.flights_past.join_before(id, waiting.way_past(), read).await;
            let filled = landed.outcome.ok_or(ReadError::Lost)??;
            // The flight knows nothing of each caller's tokens; it has read after they had come.
            filled.read.includes(including)?;
            if let Some(answer) = self.land(filled, Forward::Request, landed.is_collapsed, near)? {
                return Ok(answer);
            }
        }
        Err(ReadError::Behind)
    }

    /// What a flight has brought, if it may still be served: each caller looks for itself, since the log may have moved
    /// on since the flight read.
    fn land(
        &self,
        filled: Filled,
        why: Forward,
        is_collapsed: bool,
        near: NearMiss,
    ) -> Result<Option<Answer<Entry>>, ReadError> {
        let Ok(is_kept) = self.tiers.admit_again(&filled) else { return Ok(None) };
        let value = filled.entries.into_iter().map(|(_, entry)| entry).next().ok_or(ReadError::Lost)?;
        let (source, is_stored, near) = (filled.read.source, filled.is_stored, near.stored(is_kept));
        Ok(Some(Answer { value, trace: Trace::Forwarded { why, source, is_stored, is_collapsed, near } }))
    }

    /// What is near, then one question to Redis, and one to a database for the rest.
    async fn by_ids_nearest(&self, ids: &[ProductId]) -> Result<Answer<HashMap<ProductId, Entry>>, ReadError> {
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
        let (filled, is_kept) = self.fill_batch(&rest, &Way::Nearest, &Requirement::default()).await?;
        value.extend(filled.entries);
        let (source, is_stored, near) = (filled.read.source, filled.is_stored, near.stored(is_kept));
        Ok(Answer { value, trace: Trace::Forwarded { why, source, is_stored, is_collapsed: false, near } })
    }

    /// Past every cache, from a database that has what is demanded.
    async fn by_ids_past(
        &self,
        ids: &[ProductId],
        demand: &Demand,
    ) -> Result<Answer<HashMap<ProductId, Entry>>, ReadError> {
        let near = self.tiers.pass(ids.len());
        let way = if demand.no_cache { Arc::clone(&self.tiers).way_past().await? } else { Way::Nearest };
        let (filled, is_kept) = self.fill_batch(ids, &way, &demand.including).await?;
        let source = filled.read.source;
        let trace = if demand.no_cache {
            let (why, is_stored, near) = (Forward::Request, filled.is_stored, near.stored(is_kept));
            Trace::Forwarded { why, source, is_stored, is_collapsed: false, near }
        } else {
            Trace::past(demand, source)
        };
        Ok(Answer { value: filled.entries.into_iter().collect(), trace })
    }

    /// What a database has of `ids`, all of which may be answered now; and whether all is kept near.
    async fn fill_batch(
        &self,
        ids: &[ProductId],
        way: &Way,
        including: &Requirement,
    ) -> Result<(Filled, bool), ReadError> {
        for _ in 0..FLIGHTS_MAX {
            let filled = self.tiers.fill(ids, way, including).await?;
            if let Ok(is_kept) = self.tiers.admit_again(&filled) {
                return Ok((filled, is_kept));
            }
        }
        Err(ReadError::Behind)
    }
}

/// Counts how a read with a demand has ended.
fn counted<T>(demand: &Demand, answer: Result<Answer<T>, ReadError>) -> Result<Answer<T>, ReadError> {
    measures::demanded(demand, answer.as_ref().map(|answer| &answer.trace));
    answer
}

fn rest_of(ids: &[ProductId], known: &HashMap<ProductId, Entry>) -> Vec<ProductId> {
    ids.iter().copied().filter(|id| !known.contains_key(id)).collect()
}

/// Whether the product has this sku.
fn has_sku(entry: &Entry, sku: &Sku) -> bool {
    #[derive(Deserialize)]
    struct Named {
        sku: Sku,
    }
    match &entry.content {
        Content::Product(body) => serde_json::from_slice(body).is_ok_and(|named: Named| named.sku == *sku),
        Content::Absent => false,
    }
}
