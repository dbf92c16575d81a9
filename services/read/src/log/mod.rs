//! What this node knows of the stream, shared between the task that follows it and everyone who answers from it.

mod follow;
mod heartbeats;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use catalog::ProductId;
use events::{Epoch, Message, Position};
use freshness::{Applied, Log, Provenance, Rejection};

pub(crate) use follow::{CHECK, Follower};
use heartbeats::Heartbeats;

/// The state of the log behind a lock that is held for microseconds; no method waits for anything else.
#[derive(Debug)]
pub(crate) struct SharedLog {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    log: Log,
    heartbeats: Heartbeats,
}

impl SharedLog {
    /// Knows nothing yet. Remembers changes for `horizon`, and heartbeats for `lag_max`, the lag tolerated in replicas.
    pub(crate) fn new(horizon: Duration, lag_max: Duration) -> Self {
        let state = State { log: Log::new(horizon), heartbeats: Heartbeats::new(lag_max) };
        Self { begun: Instant::now(), state: Mutex::new(state) }
    }

    /// Processes the next message of the stream.
    pub(crate) fn apply(&self, message: &Message) -> Applied {
        let now = self.now();
        let mut state = self.lock();
        let applied = state.log.apply(message, now);
        if let Message::Heartbeat { stamp, heartbeat, .. } = message
            && applied != Applied::Ignored
        {
            state.heartbeats.record(now, stamp.epoch, heartbeat.h);
        }
        applied
    }

    /// Whether an entry from a cache may be served.
    pub(crate) fn admit_cached(&self, id: ProductId, entry: Provenance) -> Result<(), Rejection> {
        self.lock().log.admit_cached(id, entry)
    }

    /// Whether a row just read from a database may be served.
    pub(crate) fn admit_row(&self, id: ProductId, row: Provenance) -> Result<(), Rejection> {
        self.lock().log.admit_row(id, row)
    }

    /// Whether what a query just read from a database may be served, before any product in it is looked at.
    pub(crate) fn admit_page(&self, epoch: Epoch, read_at: Position) -> Result<(), Rejection> {
        self.lock().log.admit_page(epoch, read_at)
    }

    /// Takes note of an answer that is about to be given.
    pub(crate) fn answered(&self, id: ProductId, entry: Provenance) {
        let now = self.now();
        self.lock().log.answered(id, entry, now);
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

    /// The time since the last heartbeat arrived, or since this node started.
    pub(crate) fn heartbeat_age(&self) -> Duration {
        self.now().saturating_sub(self.lock().heartbeats.last().unwrap_or_default())
    }

    /// This node's own clock, which never falls.
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
