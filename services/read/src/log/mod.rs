//! What this node knows of the stream, shared between the task that follows it and everyone who answers from it.

mod follow;
mod heartbeats;
mod passed;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use axum::http::HeaderValue;
use cache::Entry;
use catalog::{ProductId, Version};
use events::{Epoch, Message, Position};
use freshness::{Applied, Kept, Log, Mark, Provenance, Rejection, Requirement, Tail};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore};

pub(crate) use follow::{CHECK, Follower, RESTARTS};
use heartbeats::Heartbeats;
pub(crate) use passed::Passed;

use crate::measures::{self, Sample};
use crate::near::{Near, NearEntry};
use crate::pages::Glance;

/// Longest wait for a token's write to arrive in the log; twice the beat of the relay, after that a database is asked.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// Requests that wait at a time; more of them go to the databases at once, whose number is limited in turn.
const WAITING_MAX: usize = 1_000;

/// The moment that answers of an epoch vouch for.
#[derive(Clone, Debug)]
pub(crate) struct AsOf {
    epoch: Epoch,
    header: HeaderValue,
}

impl AsOf {
    /// The header for an answer from `epoch`: of another epoch nothing was known at that moment.
    pub(crate) fn header_for(this: Option<&Self>, epoch: Epoch) -> Option<HeaderValue> {
        this.filter(|as_of| as_of.epoch == epoch).map(|as_of| as_of.header.clone())
    }
}

/// Why what is kept near is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NearBypass {
    /// There is no room for anything.
    Unused,
    /// The log has been silent for too long.
    Silence,
}

/// The state of the log behind a lock that is held for microseconds; no method waits for anything else.
///
/// Lock order: an entry kept near first, then the log (`keep_near` admits under the entry's lock), then the tail. So nothing
/// near is touched while the log is locked, and the log is not looked at while the tail is read.
#[derive(Debug)]
pub(crate) struct SharedLog {
    begun: Instant,
    state: Mutex<State>,
    /// The state's generation, for whoever needs nothing else of it.
    generation: AtomicU64,
    /// `Catalog-As-Of`, as it stands in answers: to be read before any tier is asked.
    as_of: ArcSwapOption<AsOf>,
    /// When the last heartbeat arrived, in milliseconds of this node's clock.
    heard_at_ms: AtomicU64,
    /// Here, because whatever raises a floor must reach it before anything is answered.
    near: Near,
    /// What pages are checked by. Pushed to while the state is locked, so that both are of one generation.
    tail: RwLock<Tail<Passed>>,
    /// Beyond this the log is too silent to be followed blindly: what is kept near is not served.
    silence_max: Duration,
    /// Told after every heartbeat.
    heard: Notify,
    /// Places for those who wait for one.
    waiting: Semaphore,
}

#[derive(Debug)]
struct State {
    log: Log,
    heartbeats: Heartbeats,
}

impl SharedLog {
    /// Knows nothing yet. Remembers changes for `horizon`, and heartbeats for `lag_max`, the lag tolerated in replicas.
    pub(crate) fn new(
        horizon: Duration,
        lag_max: Duration,
        near: Near,
        silence_max: Duration,
        tail_bytes_max: usize,
    ) -> Self {
        let state = State { log: Log::new(horizon), heartbeats: Heartbeats::new(lag_max) };
        Self {
            begun: Instant::now(),
            state: Mutex::new(state),
            generation: AtomicU64::new(0),
            as_of: ArcSwapOption::empty(),
            heard_at_ms: AtomicU64::new(0),
            near,
            tail: RwLock::new(Tail::new(tail_bytes_max)),
            silence_max,
            heard: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Processes the next message of the stream.
    pub(crate) fn apply(&self, message: Message) -> Applied {
        let now = self.now();
        let mut state = self.lock();
        let applied = state.log.apply(&message, now);
        self.publish(&state.log);
        let generation = state.log.generation();
        match message {
            _ if applied == Applied::Ignored => {}
            Message::Heartbeat { stamp, heartbeat, .. } => {
                state.heartbeats.record(now, stamp.epoch, heartbeat);
                let as_of = state.log.as_of().map(|t| AsOf { epoch: state.log.epoch(), header: as_of_header(t) });
                self.as_of.store(as_of.map(Arc::new));
                self.push(generation, Some(stamp.position), Passed::Heartbeat(heartbeat.h));
                self.heard_at_ms.store(millis(now), Ordering::Relaxed);
                self.heard.notify_waiters();
            }
            Message::Product(event) => {
                // Its floor is raised; only then what is kept, and a heartbeat that vouches for it comes later still.
                let event = Arc::new(*event);
                let is_outdated = event.change.version < state.log.floor(event.change.id);
                let passed =
                    Passed::Change { glance: Glance::of(&event.change), event: Arc::clone(&event), is_outdated };
                self.push(generation, Some(event.stamp.position), passed);
                drop(state);
                self.near.follow(&event, generation);
            }
        }
        applied
    }

    /// `Catalog-As-Of` of what is asked for after this: every write acknowledged before it is in the answer. None while
    /// no heartbeat of the present epoch is known.
    pub(crate) fn as_of(&self) -> Option<Arc<AsOf>> {
        self.as_of.load_full()
    }

    /// `Catalog-As-Of` of what a database showed that had replayed up to `read_at` before it was asked.
    pub(crate) fn as_of_source(&self, epoch: Epoch, read_at: Position) -> Option<HeaderValue> {
        self.lock().heartbeats.newest_within(epoch, read_at).map(as_of_header)
    }

    /// Whether anything is kept near at all.
    pub(crate) const fn keeps_near(&self) -> bool {
        self.near.is_used()
    }

    /// How long ago the last heartbeat was processed, or this began.
    pub(crate) fn silence(&self) -> Duration {
        self.silence_at(Instant::now())
    }

    fn silence_at(&self, now: Instant) -> Duration {
        let heard_at = Duration::from_millis(self.heard_at_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(self.begun).saturating_sub(heard_at)
    }

    /// What is kept near of a product; the error says why nothing may be.
    pub(crate) fn near(&self, id: ProductId, now: Instant) -> Result<Option<Arc<NearEntry>>, NearBypass> {
        if !self.near.is_used() {
            return Err(NearBypass::Unused);
        }
        if self.silence_at(now) > self.silence_max {
            return Err(NearBypass::Silence);
        }
        Ok(self.near.get(id, self.generation.load(Ordering::Acquire)))
    }

    /// Whether only the primary can tell what these tokens name.
    pub(crate) fn needs_primary(&self, including: &Requirement) -> bool {
        !including.is_empty() && including.needs_primary(self.lock().log.epoch())
    }

    /// Which tokens an answer looked for from now on has to meet by itself.
    pub(crate) fn beyond(&self, including: &Requirement) -> Requirement {
        if including.is_empty() {
            return Requirement::default();
        }
        including.beyond(&self.lock().log)
    }

    /// Waits, for a limited time and with limited company, until all that the log vouches for includes what the tokens
    /// name; whether it does.
    pub(crate) async fn reaches(&self, including: &Requirement) -> bool {
        let is_reached = || self.beyond(including).is_empty();
        if is_reached() {
            return true;
        }
        let Ok(_place) = self.waiting.try_acquire() else { return false };
        let begun = self.now();
        let wait = async {
            loop {
                // Listed before the look, so that no heartbeat is missed in between.
                let heard = self.heard.notified();
                if self.needs_primary(including) {
                    return false;
                }
                if is_reached() {
                    return true;
                }
                heard.await;
            }
        };
        let is_reached = tokio::time::timeout(WAIT_MAX, wait).await.unwrap_or(false);
        measures::token_waited(self.now().saturating_sub(begun));
        is_reached
    }

    /// Whether the log has been silent for so long that nothing kept may be served.
    pub(crate) fn is_too_silent(&self) -> bool {
        self.silence() > self.silence_max
    }

    /// Ends with the next heartbeat that is processed after this call.
    pub(crate) fn next_heartbeat(&self) -> Notified<'_> {
        self.heard.notified()
    }

    /// Where what was heard ends now: to be read before something is admitted that is then checked by the tail.
    pub(crate) fn tail_end(&self) -> Mark {
        self.tail().end()
    }

    /// What was heard, to check pages by. No other method may be called while it is held.
    pub(crate) fn tail(&self) -> RwLockReadGuard<'_, Tail<Passed>> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called while the state is locked, whose generation this is.
    fn push(&self, generation: u64, position: Option<Position>, passed: Passed) {
        let bytes = passed.bytes();
        self.tail.write().unwrap_or_else(PoisonError::into_inner).push(generation, position, passed, bytes);
    }

    /// The same of an answer that is newer than what the log has shown.
    fn note_answer(&self, state: &mut State, id: ProductId, entry: Provenance) {
        let is_news = entry.epoch == state.log.epoch() && entry.version > state.log.floor(id);
        state.log.answered(id, entry);
        if is_news {
            self.push(state.log.generation(), None, Passed::Answered(id, entry.version));
        }
    }

    /// Keeps an answered entry near, if it may still be served; whether it is kept.
    pub(crate) fn keep_near(&self, id: ProductId, entry: &Entry) -> bool {
        let provenance = Provenance { epoch: entry.epoch, version: entry.version, read_at: entry.read_at };
        self.near.keep(id, entry, || Kept::admitted(&self.lock().log, id, provenance))
    }

    /// Whether an entry from a cache may be served; if so, it is answered.
    pub(crate) fn answer_cached(&self, id: ProductId, entry: Provenance) -> Result<(), Rejection> {
        {
            let mut state = self.lock();
            state.log.admit_cached(id, entry)?;
            self.note_answer(&mut state, id, entry);
        }
        self.near.forget_below(id, entry.version);
        Ok(())
    }

    /// Whether a row just read from a database may be served, without answering it yet.
    pub(crate) fn admit_row(&self, id: ProductId, row: Provenance) -> Result<(), Rejection> {
        let mut state = self.lock();
        let admitted = state.log.admit_row(id, row);
        // A row of a higher epoch is news of it.
        self.publish(&state.log);
        admitted
    }

    /// Whether a row just read from a database may be served; if so, it is answered.
    pub(crate) fn answer_row(&self, id: ProductId, row: Provenance) -> Result<(), Rejection> {
        {
            let mut state = self.lock();
            let admitted = state.log.admit_row(id, row);
            self.publish(&state.log);
            admitted?;
            self.note_answer(&mut state, id, row);
        }
        self.near.forget_below(id, row.version);
        Ok(())
    }

    /// Whether what a query just read from a database may be served, before any product in it is looked at.
    pub(crate) fn admit_page(&self, epoch: Epoch, read_at: Position) -> Result<(), Rejection> {
        let mut state = self.lock();
        let admitted = state.log.admit_page(epoch, read_at);
        self.publish(&state.log);
        admitted
    }

    /// Whether what a cache holds of a query may be looked at.
    pub(crate) fn admit_cached_page(&self, epoch: Epoch, read_at: Position) -> Result<(), Rejection> {
        self.lock().log.admit_cached_page(epoch, read_at)
    }

    /// Whether all of these products may be served at these versions.
    pub(crate) fn admit_versions(
        &self,
        mut products: impl Iterator<Item = (ProductId, Version)>,
    ) -> Result<(), Rejection> {
        let state = self.lock();
        products.try_for_each(|(id, version)| state.log.admit_version(id, version))
    }

    /// Takes note of an answer that is about to be given: nothing older follows it, from any tier or from near.
    pub(crate) fn answered(&self, id: ProductId, entry: Provenance) {
        self.note_answer(&mut self.lock(), id, entry);
        self.near.forget_below(id, entry.version);
    }

    /// Shows what hits look at. The generation before any moment that vouches for it: whoever reads that moment finds
    /// this generation or a later one.
    fn publish(&self, log: &Log) {
        if self.generation.swap(log.generation(), Ordering::AcqRel) != log.generation() {
            self.tail.write().unwrap_or_else(PoisonError::into_inner).begin(log.generation());
        }
        if log.heartbeat().is_none() {
            self.as_of.store(None);
        }
    }

    /// Whether the log vouches for cached entries at all.
    pub(crate) fn has_begun(&self) -> bool {
        self.lock().log.has_begun()
    }

    /// Whether a heartbeat of the present epoch has been processed.
    pub(crate) fn has_heartbeat(&self) -> bool {
        self.lock().log.heartbeat().is_some()
    }

    /// The newest epoch known, and what a replica must have replayed to lag no more than tolerated; no position while
    /// no recent heartbeat is known.
    pub(crate) fn required_of_replicas(&self) -> (Epoch, Option<Position>) {
        let now = self.now();
        let state = self.lock();
        let epoch = state.log.epoch();
        (epoch, state.heartbeats.oldest_tolerated(now, epoch))
    }

    /// What metrics show of it.
    pub(crate) fn sample(&self) -> Sample {
        let state = self.lock();
        let as_of_age = state.log.as_of().map(|t| (OffsetDateTime::now_utc() - t).try_into().unwrap_or_default());
        // The time since this node started, if none has arrived.
        let heartbeat_age = self.now().saturating_sub(state.heartbeats.last().unwrap_or_default());
        let log_changes = state.log.changes();
        drop(state);
        let (near_bytes, near_entries) = (self.near.bytes(), self.near.entries());
        let tail_bytes = self.tail().bytes();
        Sample { as_of_age, heartbeat_age, log_changes, near_bytes, near_entries, tail_bytes }
    }

    /// This node's own clock, which never falls.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with milliseconds, rounded down: never more than is known.
fn as_of_header(t: OffsetDateTime) -> HeaderValue {
    const FORM: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let text = t.to_offset(UtcOffset::UTC).format(FORM).expect("a time of the primary's clock has a four-digit year");
    HeaderValue::try_from(text).expect("digits and punctuation")
}
