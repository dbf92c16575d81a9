//! The log as one node has followed it: floors, the start of what it can vouch for, and the last heartbeat.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use catalog::{ProductId, Version};
use events::{Epoch, Heartbeat, Message, Position};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::memory::{Answer, Change, Memory};
use crate::{Provenance, Rejection};

/// How many changes are remembered at most: about 100 MB. At 1,000 a second this is 16 minutes, above the default
/// horizon; beyond it the oldest are forgotten early, which costs hits, never correctness. Only those of the furthest turn
/// are kept in any case, and what is heard again behind them.
const CHANGES_MAX: usize = 1_000_000;
/// How many answers that were newer than the log are remembered at most: about 25 MB, and many times the hot products.
///
/// Their age does not count. A replica may show a commit for which the primary still waits for another replica; until
/// the log shows the change, nothing else tells that the primary is behind the answer.
const ANSWERS_MAX: usize = 250_000;

/// What a message did to the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It follows the message before it.
    Next,
    /// Something is missing before it, or nothing came before it: the tail begins here.
    Restarted,
    /// A higher epoch began: everything known before is void.
    NewEpoch,
    /// It belongs to a lower epoch and says nothing.
    Ignored,
}

/// The state of one follower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    horizon: Duration,
    epoch: Epoch,
    generation: u64,
    /// Whether a message of the present epoch has been processed; until then nothing vouches for a cached entry.
    has_begun: bool,
    /// Every change above this position is in `memory` or still to come.
    start: Position,
    memory: Memory,
    /// The link of the message processed last.
    last_message: Option<Uuid>,
    /// The position of the furthest turn of the relay that was heard of in this epoch, in full or in part.
    furthest: Position,
    heartbeat: Option<Heartbeat>,
}

impl Log {
    /// A follower that knows nothing yet. `horizon` is how far back it remembers: it decides hits, never correctness.
    pub fn new(horizon: Duration) -> Self {
        Self {
            horizon,
            epoch: Epoch::default(),
            generation: 0,
            has_begun: false,
            start: Position::default(),
            memory: Memory::default(),
            last_message: None,
            furthest: Position::default(),
            heartbeat: None,
        }
    }

    /// Processes the next message of the stream. `now` is any clock of this node that never falls.
    pub fn apply(&mut self, message: &Message, now: Duration) -> Applied {
        let stamp = message.stamp();
        let follows = self.last_message.is_some() && stamp.previous == self.last_message;
        self.last_message = Some(message.link());
        if stamp.epoch < self.epoch {
            return Applied::Ignored;
        }
        let applied = if stamp.epoch > self.epoch {
            self.begin_epoch(stamp.epoch);
            Applied::NewEpoch
        } else if follows && self.has_begun {
            Applied::Next
        } else {
            Applied::Restarted
        };
        if applied != Applied::Next {
            self.generation += 1;
            // What stood between the last message processed and this one is unknown. Floors stay: versions only rise.
            self.start = self.start.max(stamp.position);
            self.has_begun = true;
            self.memory.doubt_changes_of(self.furthest);
        }
        self.furthest = self.furthest.max(stamp.position);
        match message {
            Message::Product(event) => {
                let (id, version) = (event.change.id, event.change.version);
                self.memory.remember_change(Change { since: now, id, version, position: stamp.position });
            }
            Message::Heartbeat { heartbeat, .. } => self.hear(*heartbeat),
        }
        self.forget_old(now);
        applied
    }

    /// Whether an entry from a cache may be served: only what the log vouches for.
    pub fn admit_cached(&self, id: ProductId, entry: Provenance) -> Result<(), Rejection> {
        self.admit_cached_page(entry.epoch, entry.read_at)?;
        self.admit_version(id, entry.version)
    }

    /// The same of what was read of many products at once, before any of them is looked at.
    pub fn admit_cached_page(&self, epoch: Epoch, read_at: Position) -> Result<(), Rejection> {
        if !self.has_begun || epoch != self.epoch {
            return Err(Rejection::OtherEpoch);
        }
        self.admit_position(read_at)
    }

    /// Whether a row just read from a database may be served.
    ///
    /// While no log is there to vouch for anything, only what this node has answered bounds what it may answer next.
    pub fn admit_row(&mut self, id: ProductId, row: Provenance) -> Result<(), Rejection> {
        self.admit_page(row.epoch, row.read_at)?;
        self.admit_version(id, row.version)
    }

    /// Whether what a query just read from a database may be served, before any product in it is looked at: "nothing
    /// found" must be as fresh as what is found.
    ///
    /// An answer of a higher epoch tells of that epoch before the log does.
    pub fn admit_page(&mut self, epoch: Epoch, read_at: Position) -> Result<(), Rejection> {
        if epoch < self.epoch {
            return Err(Rejection::OtherEpoch);
        }
        if epoch > self.epoch {
            self.begin_epoch(epoch);
        }
        if self.has_begun { self.admit_position(read_at) } else { Ok(()) }
    }

    /// Takes note that this node has answered with an admitted entry, so that it never answers with an older one.
    pub fn answered(&mut self, id: ProductId, entry: Provenance) {
        if entry.epoch != self.epoch || entry.version <= self.floor(id) {
            return;
        }
        self.memory.remember_answer(Answer { id, version: entry.version, read_at: entry.read_at });
        if self.memory.answers() > ANSWERS_MAX
            && let Some(oldest) = self.memory.forget_oldest_answer()
            && self.position().is_none_or(|h| oldest.read_at >= h)
        {
            // The log has not even passed what it was read at.
            self.start = self.start.max(oldest.read_at);
        }
    }

    /// Which stretch of the log vouches for what is kept near: a gap or a new epoch begins another.
    ///
    /// Within one, an entry that was admitted and then kept up with every event needs no further look at floor or R.
    /// Whoever keeps entries near notes it beside each and serves none of another.
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// `Catalog-As-Of`: every write acknowledged before this moment is in what may be served. To be read before any tier
    /// is asked.
    pub fn as_of(&self) -> Option<OffsetDateTime> {
        self.heartbeat.map(|heartbeat| heartbeat.t)
    }

    /// Every write whose position, read after its commit, is strictly below this one is in the log.
    pub fn position(&self) -> Option<Position> {
        self.heartbeat.map(|heartbeat| heartbeat.h)
    }

    /// Forgets the changes that are older than the horizon, or more than the limit, and moves the start past them. Every
    /// message does it too.
    ///
    /// Those of the furthest turn are kept however old they are: the relay may not have settled it, so that the stream
    /// may lose it and get the same events once more, at higher positions. Were they forgotten, what is then made of an
    /// older event would look newer than all that was forgotten. A message of a later turn, which is linked to this one,
    /// says that it is settled; its position is strictly higher, since settling writes to the write-ahead log. After a
    /// gap nothing says so any more: then they are doubted, and kept until they come again.
    pub fn forget_old(&mut self, now: Duration) {
        while let Some(oldest) = self.memory.oldest_change() {
            let is_old = now.saturating_sub(oldest.since) > self.horizon;
            let is_settled = oldest.position < self.furthest;
            if !is_settled || !is_old && self.memory.changes() <= CHANGES_MAX {
                return;
            }
            self.start = self.start.max(oldest.position);
            self.memory.forget_oldest_change();
        }
    }

    /// Whether the log vouches for cached entries at all.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The furthest heartbeat of the present epoch.
    pub const fn heartbeat(&self) -> Option<Heartbeat> {
        self.heartbeat
    }

    /// The newest version of a product that this node knows of.
    pub fn floor(&self, id: ProductId) -> Version {
        self.memory.floor(id)
    }

    /// How many changes are remembered.
    pub fn changes(&self) -> usize {
        self.memory.changes()
    }

    /// How many changes and answers are remembered.
    pub fn remembered(&self) -> usize {
        self.memory.changes() + self.memory.answers()
    }

    fn admit_position(&self, read_at: Position) -> Result<(), Rejection> {
        // Strictly: an event at this very position need not be in the entry's snapshot.
        if read_at > self.start { Ok(()) } else { Err(Rejection::BeforeStart) }
    }

    /// Whether a version of a product may be served, wherever it is from.
    pub fn admit_version(&self, id: ProductId, version: Version) -> Result<(), Rejection> {
        if version >= self.floor(id) { Ok(()) } else { Err(Rejection::BelowFloor) }
    }

    fn begin_epoch(&mut self, epoch: Epoch) {
        let (generation, last_message) = (self.generation + 1, self.last_message);
        *self = Self { epoch, generation, last_message, ..Self::new(self.horizon) };
    }

    /// One that is heard again, because the stream is followed anew, takes nothing back.
    fn hear(&mut self, heard: Heartbeat) {
        let furthest = self.heartbeat.get_or_insert(heard);
        furthest.t = furthest.t.max(heard.t);
        furthest.h = furthest.h.max(heard.h);
    }
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.horizon, self.epoch, self.generation, self.has_begun, self.start).hash(state);
        (self.last_message, self.furthest).hash(state);
        (self.as_of(), self.position()).hash(state);
        self.memory.hash(state);
    }
}

#[cfg(test)]
mod tests;
