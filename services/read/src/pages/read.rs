//! Pages as they are asked for: from what is kept while the log lets it stand, or from a database.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use cache::PageKey;
use events::{Epoch, Position};
use freshness::{Mark, Provenance, Rejection, Tail};
use tokio::time::timeout;

use super::held::HeldPage;
use super::kept::{KeptPages, Lookup, Slot};
use super::page::{Listing, Page};
use super::query::PageQuery;
use crate::demand::Demand;
use crate::error::{ReadError, Refusal};
use crate::flight::Flights;
use crate::log::{AsOf, Passed, SharedLog};
use crate::measures;
use crate::products::{Answer, Forward, NearMiss, Trace};
use crate::redis::Redis;
use crate::sources::{Sourced, Sources, Way, Work};
use crate::store;

/// Longest reading of a page: searches for common words look at many rows, and one more source may have to be asked.
const READ_MAX: Duration = Duration::from_secs(5);
/// Attempts until their outcome may be served: for each of them the list must have moved in between.
const FLIGHTS_MAX: usize = 3;
/// Readings of one attempt: a database may lack only for a moment what moved the list.
const READS_MAX: usize = 2;

/// Heartbeats that are waited for: on each the page may have moved once more.
const CUTS_MAX: usize = 3;
/// Longest wait for one of them: twice the beat of the relay.
const CUT_WAIT_MAX: Duration = Duration::from_millis(100);

/// A page, and its `Catalog-As-Of`.
type Read = (Answer<Arc<Page>>, Option<HeaderValue>);

/// The way to pages.
#[derive(Debug)]
pub(crate) struct Pages {
    shared: Arc<Shared>,
    flights: Flights<PageKey, Result<Filled, ReadError>>,
}

/// What attempts need, which outlive their callers.
#[derive(Debug)]
struct Shared {
    log: Arc<SharedLog>,
    sources: Arc<Sources>,
    redis: Arc<Redis>,
    kept: KeptPages,
}

/// What an attempt has brought, and how, but for what the near cache made of it.
#[derive(Clone, Debug)]
enum Filled {
    /// A page to be followed.
    Followed { slot: Arc<Slot>, trace: Trace, is_kept: bool },
    /// What a database had, as of that: the list moves faster than it can be read and followed.
    AsRead { page: Arc<Page>, read: Sourced<()>, trace: Trace },
}

impl Pages {
    /// Keeps pages in `bytes_max`.
    pub(crate) fn new(log: Arc<SharedLog>, sources: Arc<Sources>, redis: Arc<Redis>, bytes_max: u64) -> Self {
        let kept = KeptPages::new(bytes_max);
        Self { shared: Arc::new(Shared { log, sources, redis, kept }), flights: Flights::new() }
    }

    /// The page asked for, and its `Catalog-As-Of`. Each of its products is at least as new as this node knows it to be.
    pub(crate) async fn get(&self, query: PageQuery, demand: &Demand) -> Result<Read, ReadError> {
        let log = &self.shared.log;
        let is_nearest = !demand.no_cache && log.reaches(&demand.including).await;
        let read = if is_nearest {
            self.get_nearest(query, demand).await
        } else {
            self.shared.read_past(query, demand, NearMiss::Unused).await
        };
        measures::demanded(demand, read.as_ref().map(|(answer, _)| &answer.trace));
        read
    }

    /// The page asked for and its `Catalog-As-Of`, if it is kept and stands. To be counted by [`measures::page_hit`].
    pub(crate) fn at_hand(&self, query: &PageQuery) -> Option<(Arc<Page>, HeaderValue)> {
        let Shared { log, kept, .. } = &*self.shared;
        // Before the page is looked at: the moment must not be later than what it vouches for.
        let as_of = log.as_of()?;
        if log.is_too_silent() {
            return None;
        }
        let page = kept.look(query.key(), &log.tail())?;
        let as_of = AsOf::header_for(Some(&*as_of), page.epoch)?;
        Some((page, as_of))
    }

    /// Takes the metrics' sample.
    pub(crate) fn sample(&self) {
        measures::pages_sampled(self.shared.kept.bytes(), self.shared.kept.entries());
    }

    /// What is kept if it stands, or else what an attempt brings that callers at the same time share. The log has what is
    /// demanded, and so has whatever it lets stand.
    async fn get_nearest(&self, query: PageQuery, demand: &Demand) -> Result<Read, ReadError> {
        let Shared { log, kept, .. } = &*self.shared;
        let as_of = log.as_of();
        let is_too_silent = log.is_too_silent();
        if as_of.is_none() || !kept.is_used() || is_too_silent {
            measures::page_request("near", "bypass");
            let near = if kept.is_used() && is_too_silent { NearMiss::Silence } else { NearMiss::Unused };
            return self.shared.read_past(query, demand, near).await;
        }
        let as_of = |page: &Page| AsOf::header_for(as_of.as_deref(), page.epoch);
        let key = query.key();
        let near = match self.settled(|tail| kept.get(key, tail)).await {
            Lookup::Stands(page) => {
                measures::page_hit();
                let as_of = as_of(&page);
                return Ok((Answer { value: page, trace: Trace::Near }, as_of));
            }
            Lookup::Moved | Lookup::Unsettled => {
                measures::page_request("near", "moved");
                NearMiss::Stale { is_stored: false }
            }
            Lookup::Missing => {
                measures::page_request("near", "miss");
                NearMiss::Missing { is_stored: false }
            }
        };
        let query = Arc::new(query);
        for _ in 0..FLIGHTS_MAX {
            let (shared, query) = (Arc::clone(&self.shared), Arc::clone(&query));
            let landed = self.flights.join(key, async move { shared.fill(key, query).await }).await;
            // Each caller looks for itself: the log may have moved on since the flight read.
            match landed.outcome.ok_or(ReadError::Lost)? {
                Err(ReadError::Behind) => break,
                Err(error) => return Err(error),
                Ok(Filled::Followed { slot, trace, is_kept }) => {
                    if let Lookup::Stands(page) = self.settled(|tail| kept.stand(key, &slot, tail)).await {
                        let trace = trace.with_near(near.stored(is_kept)).collapsed(landed.is_collapsed);
                        let as_of = as_of(&page);
                        return Ok((Answer { value: page, trace }, as_of));
                    }
                }
                Ok(Filled::AsRead { page, read, trace }) => {
                    if self.shared.may_answer(&page, &read, demand).is_err() {
                        break;
                    }
                    let trace = trace.with_near(near).collapsed(landed.is_collapsed);
                    return Ok((Answer { value: page, trace }, log.as_of_source(read.epoch, read.read_at)));
                }
            }
        }
        // The list moves faster than it can be read and tested: then it is what one database shows, as of that.
        self.shared.read_past((*query).clone(), demand, near).await
    }

    /// Looks until what it finds is as the database once showed it, or for as long as that may take.
    async fn settled(&self, look: impl Fn(&Tail<Passed>) -> Lookup) -> Lookup {
        for _ in 0..CUTS_MAX {
            let heartbeat = self.shared.log.next_heartbeat();
            let found = look(&self.shared.log.tail());
            if !matches!(found, Lookup::Unsettled) {
                return found;
            }
            // Without one nothing has changed, and the next look says so.
            let _ = timeout(CUT_WAIT_MAX, heartbeat).await;
        }
        Lookup::Unsettled
    }
}

impl Shared {
    /// A page from Redis or from a database, kept if the log lets it stand.
    async fn fill(&self, key: PageKey, query: Arc<PageQuery>) -> Result<Filled, ReadError> {
        match self.ask_redis(key, &query).await {
            Ok(slot) => {
                let is_kept = self.kept.keep(key, &slot);
                Ok(Filled::Followed { slot, trace: Trace::Redis(NearMiss::Unused), is_kept })
            }
            Err(why) => {
                let filled = timeout(READ_MAX, self.fill_from_database(key, query, why)).await;
                filled.map_err(|_| ReadError::Late)?
            }
        }
    }

    async fn fill_from_database(&self, key: PageKey, query: Arc<PageQuery>, why: Forward) -> Result<Filled, ReadError> {
        let mut as_read = None;
        for _ in 0..READS_MAX {
            let followed = Mutex::new(None);
            let judge = |answer: &Sourced<Listing>| -> Result<(), Refusal> {
                match self.vouch_for(&query, answer) {
                    Ok(slot) => *followed.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot),
                    // Another database would have it no other way.
                    Err(Rejection::Overtaken) => self.admit(answer)?,
                    Err(rejection) => return Err(rejection.into()),
                }
                Ok(())
            };
            let read = self.sources.read(
                &Way::Nearest,
                Work::Search,
                |connection, query| Box::pin(store::page(connection, query)),
                &*query,
                judge,
            );
            let read = match (read.await, as_read) {
                (Ok(read), _) => read,
                // What was read before is an answer too.
                (Err(_), Some(as_read)) => return Ok(as_read),
                (Err(error), None) => return Err(error),
            };
            self.note_answered(read.epoch, read.read_at, &read.value);
            let (source, near) = (read.source, NearMiss::Unused);
            let trace = |is_stored| Trace::Forwarded { why, source, is_stored, is_collapsed: false, near };
            if let Some(slot) = followed.into_inner().unwrap_or_else(PoisonError::into_inner) {
                let slot = Arc::new(slot);
                let is_stored = match HeldPage::new(&query, read).encode() {
                    Some(page) => self.redis.put_page(key, &page).await,
                    None => false,
                };
                return Ok(Filled::Followed { trace: trace(is_stored), is_kept: self.kept.keep(key, &slot), slot });
            }
            let (listing, read) = read.split();
            let page = Arc::new(Page::new(read.epoch, Arc::clone(&query), listing));
            as_read = Some(Filled::AsRead { page, read, trace: trace(false) });
        }
        as_read.ok_or(ReadError::Behind)
    }

    /// Whether what another caller's attempt has read is an answer to this one too.
    fn may_answer(&self, page: &Page, read: &Sourced<()>, demand: &Demand) -> Result<(), Refusal> {
        self.log.admit_page(read.epoch, read.read_at)?;
        self.log.admit_versions(page.extent.rows.iter().map(|row| (row.place.id, row.version)))?;
        read.includes(&demand.including)
    }

    /// What a node has read, if it stands, or why a database has to be asked.
    async fn ask_redis(&self, key: PageKey, query: &Arc<PageQuery>) -> Result<Arc<Slot>, Forward> {
        let Some(held) = self.redis.get_page(key).await else {
            measures::page_request("redis", "error");
            return Err(Forward::Bypass);
        };
        let Some(held) = held.and_then(|held| HeldPage::decode(&held, query)) else {
            measures::page_request("redis", "miss");
            return Err(Forward::Missing);
        };
        let HeldPage { epoch, read_at, listing, .. } = held;
        let admitted = self.log.tail_end();
        let followed = self
            .log
            .admit_cached_page(epoch, read_at)
            .and_then(|()| self.follow(query, epoch, read_at, &listing, admitted));
        match followed {
            Ok(slot) => {
                measures::page_request("redis", "hit");
                self.note_answered(epoch, read_at, &listing);
                Ok(Arc::new(slot))
            }
            Err(rejection) => {
                measures::page_request("redis", "moved");
                measures::rejected("redis", rejection);
                Err(Forward::Stale)
            }
        }
    }

    /// What a database had, if it is as new as what this node knows, and if nothing that was heard has moved the list.
    fn vouch_for(&self, query: &Arc<PageQuery>, answer: &Sourced<Listing>) -> Result<Slot, Rejection> {
        let admitted = self.log.tail_end();
        self.log.admit_page(answer.epoch, answer.read_at)?;
        self.follow(query, answer.epoch, answer.read_at, &answer.value, admitted)
    }

    /// The page after all that was heard, if its products are then as new as this node knows them to be.
    fn follow(
        &self,
        query: &Arc<PageQuery>,
        epoch: Epoch,
        read_at: Position,
        listing: &Listing,
        admitted: Mark,
    ) -> Result<Slot, Rejection> {
        let page = Page::new(epoch, Arc::clone(query), listing.clone());
        let (slot, versions) = {
            let tail = self.log.tail();
            let slot = Slot::admitted(page, (read_at, listing.read_by), admitted, &tail)?;
            let versions = slot.versions(&tail);
            (slot, versions)
        };
        // Whatever raises a floor after this is in the tail, and so is tested before the page is answered.
        self.log.admit_versions(versions.into_iter())?;
        Ok(slot)
    }

    fn admit(&self, answer: &Sourced<Listing>) -> Result<(), Rejection> {
        self.log.admit_page(answer.epoch, answer.read_at)?;
        self.log.admit_versions(answer.value.found.iter().map(|found| (found.product.id, found.product.version)))
    }

    /// Nothing older follows, from any tier.
    fn note_answered(&self, epoch: Epoch, read_at: Position, listing: &Listing) {
        for found in &listing.found {
            let version = found.product.version;
            self.log.answered(found.product.id, Provenance { epoch, version, read_at });
        }
    }

    /// From a database that has what is demanded, past what is kept.
    async fn read_past(&self, query: PageQuery, demand: &Demand, near: NearMiss) -> Result<Read, ReadError> {
        let way = self.sources.way(demand.no_cache).await?;
        let read = self.sources.read(
            &way,
            Work::Search,
            |connection, query| Box::pin(store::page(connection, query)),
            &query,
            |answer| -> Result<(), Refusal> {
                self.admit(answer)?;
                answer.includes(&demand.including)
            },
        );
        let read = timeout(READ_MAX, read).await.map_err(|_| ReadError::Late)??;
        self.note_answered(read.epoch, read.read_at, &read.value);
        let as_of = self.log.as_of_source(read.epoch, read.read_at);
        let trace = Trace::past(demand, read.source).with_near(near);
        let page = Page::new(read.epoch, Arc::new(query), read.value);
        Ok((Answer { value: Arc::new(page), trace }, as_of))
    }
}
