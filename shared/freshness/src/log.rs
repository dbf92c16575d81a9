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
/// horizon; beyond it the oldest are forgotten early, which costs hits, never correctness.
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
    last_message: Option<Uuid>,
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
            heartbeat: None,
        }
    }

    /// Processes the next message of the stream. `now` is any clock of this node that never falls.
    pub fn apply(&mut self, message: &Message, now: Duration) -> Applied {
        let stamp = message.stamp();
        let follows = self.last_message.is_some() && stamp.previous == self.last_message;
        self.last_message = Some(message.id());
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
        }
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
        if !self.has_begun || entry.epoch != self.epoch {
            return Err(Rejection::OtherEpoch);
        }
        self.admit_version(id, entry.version)?;
        self.admit_position(entry.read_at)
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
    pub fn forget_old(&mut self, now: Duration) {
        while let Some(oldest) = self.memory.oldest_change() {
            let is_old = now.saturating_sub(oldest.since) > self.horizon;
            if !is_old && self.memory.changes() <= CHANGES_MAX {
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

    fn admit_version(&self, id: ProductId, version: Version) -> Result<(), Rejection> {
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
        (self.last_message, self.as_of(), self.position()).hash(state);
        self.memory.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use catalog::ListFields;
    use events::{Change, ProductEvent, Stamp};
    use time::OffsetDateTime;

    use super::*;

    const HORIZON: Duration = Duration::from_mins(10);
    const NOW: Duration = Duration::from_secs(1);

    fn id(id: i64) -> ProductId {
        id.try_into().expect("positive")
    }

    fn version(version: i64) -> Version {
        version.try_into().expect("not negative")
    }

    /// A stream of messages, each naming the one before it.
    struct Stream {
        epoch: u64,
        last: u128,
    }

    impl Stream {
        fn stamp(&mut self, position: u64) -> (Uuid, Stamp) {
            let previous = (self.last > 0).then(|| Uuid::from_u128(self.last));
            self.last += 1;
            (Uuid::from_u128(self.last), Stamp { epoch: Epoch(self.epoch), position: Position(position), previous })
        }

        fn deleted(&mut self, product: i64, at: i64, position: u64) -> Message {
            let (event_id, stamp) = self.stamp(position);
            let before: ListFields = serde_json::from_str(
                r#"{"sku":"A","name":"A","brand":null,"category":null,"price":"1.00","currency":"USD","stock":0}"#,
            )
            .expect("list fields");
            let change = Change { id: id(product), version: version(at), before: Some(before), after: None };
            Message::Product(Box::new(ProductEvent { event_id, time: OffsetDateTime::UNIX_EPOCH, stamp, change }))
        }

        fn heartbeat(&mut self, position: u64) -> Message {
            let (id, stamp) = self.stamp(position);
            let heartbeat = Heartbeat { t: OffsetDateTime::UNIX_EPOCH, h: Position(position) };
            Message::Heartbeat { id, stamp, heartbeat }
        }
    }

    fn entry(epoch: u64, at: i64, read_at: u64) -> Provenance {
        Provenance { epoch: Epoch(epoch), version: version(at), read_at: Position(read_at) }
    }

    fn begun() -> (Log, Stream) {
        let (mut log, mut stream) = (Log::new(HORIZON), Stream { epoch: 5, last: 0 });
        assert_eq!(log.apply(&stream.heartbeat(100), NOW), Applied::NewEpoch);
        (log, stream)
    }

    #[test]
    fn nothing_cached_is_admitted_before_the_log_has_begun() {
        let mut log = Log::new(HORIZON);
        assert_eq!(log.admit_cached(id(1), entry(0, 9, 900)), Err(Rejection::OtherEpoch));
        assert_eq!(log.admit_row(id(1), entry(5, 9, 900)), Ok(()));
        assert_eq!(log.admit_cached(id(1), entry(5, 9, 900)), Err(Rejection::OtherEpoch));
    }

    #[test]
    fn an_event_raises_the_floor_for_every_source() {
        let (mut log, mut stream) = begun();
        assert_eq!(log.apply(&stream.deleted(1, 3, 110), NOW), Applied::Next);
        assert_eq!(log.admit_cached(id(1), entry(5, 2, 200)), Err(Rejection::BelowFloor));
        assert_eq!(log.admit_row(id(1), entry(5, 2, 200)), Err(Rejection::BelowFloor));
        assert_eq!(log.admit_row(id(1), entry(5, 3, 200)), Ok(()));
        assert_eq!(log.admit_row(id(2), entry(5, 0, 200)), Ok(()));
    }

    #[test]
    fn an_entry_read_at_the_very_start_proves_nothing() {
        let (log, _) = begun();
        assert_eq!(log.admit_cached(id(1), entry(5, 1, 100)), Err(Rejection::BeforeStart));
        assert_eq!(log.admit_cached(id(1), entry(5, 1, 101)), Ok(()));
    }

    #[test]
    fn a_gap_moves_the_start_and_keeps_the_floors() {
        let (mut log, mut stream) = begun();
        log.apply(&stream.deleted(1, 3, 110), NOW);
        stream.heartbeat(120);
        assert_eq!(log.apply(&stream.heartbeat(130), NOW), Applied::Restarted);
        assert_eq!(log.admit_cached(id(2), entry(5, 1, 125)), Err(Rejection::BeforeStart));
        assert_eq!(log.admit_cached(id(1), entry(5, 2, 200)), Err(Rejection::BelowFloor));
    }

    #[test]
    fn a_higher_epoch_voids_everything_and_a_lower_one_says_nothing() {
        let (mut log, mut stream) = begun();
        log.apply(&stream.deleted(1, 9, 110), NOW);
        let mut next = Stream { epoch: 6, last: stream.last };
        assert_eq!(log.apply(&next.heartbeat(50), NOW), Applied::NewEpoch);
        assert_eq!(log.admit_cached(id(1), entry(5, 9, 200)), Err(Rejection::OtherEpoch));
        assert_eq!(log.admit_cached(id(1), entry(6, 8, 60)), Ok(()));
        assert_eq!(log.apply(&stream.deleted(1, 10, 120), NOW), Applied::Ignored);
        assert_eq!(log.floor(id(1)), Version::ABSENT);
    }

    #[test]
    fn a_row_of_a_higher_epoch_is_news_of_that_epoch() {
        let (mut log, mut stream) = begun();
        log.apply(&stream.deleted(1, 9, 110), NOW);
        assert_eq!(log.admit_row(id(1), entry(6, 8, 20)), Ok(()));
        assert_eq!(log.admit_cached(id(1), entry(6, 8, 20)), Err(Rejection::OtherEpoch));
        assert_eq!(log.admit_row(id(1), entry(5, 9, 200)), Err(Rejection::OtherEpoch));
    }

    #[test]
    fn a_page_that_found_nothing_is_bound_by_epoch_and_start() {
        let (mut log, _) = begun();
        assert_eq!(log.admit_page(Epoch(4), Position(200)), Err(Rejection::OtherEpoch));
        assert_eq!(log.admit_page(Epoch(5), Position(100)), Err(Rejection::BeforeStart));
        assert_eq!(log.admit_page(Epoch(5), Position(101)), Ok(()));
        assert_eq!(log.admit_page(Epoch(6), Position(1)), Ok(()));
        assert_eq!(log.epoch(), Epoch(6));
    }

    #[test]
    fn what_the_horizon_forgets_moves_the_start_past_it() {
        let (mut log, mut stream) = begun();
        log.apply(&stream.deleted(1, 3, 110), NOW);
        log.apply(&stream.heartbeat(120), NOW + HORIZON + NOW);
        assert_eq!(log.floor(id(1)), Version::ABSENT);
        assert_eq!(log.admit_cached(id(1), entry(5, 2, 110)), Err(Rejection::BeforeStart));
        assert_eq!(log.admit_cached(id(1), entry(5, 3, 111)), Ok(()));
    }

    #[test]
    fn an_answer_is_remembered_until_the_log_has_shown_it() {
        let (mut log, mut stream) = begun();
        log.answered(id(1), entry(5, 4, 500));
        log.apply(&stream.heartbeat(900), NOW + HORIZON + NOW);
        assert_eq!(log.admit_cached(id(1), entry(5, 3, 950)), Err(Rejection::BelowFloor));
        log.apply(&stream.deleted(1, 4, 950), NOW + HORIZON + NOW);
        assert_eq!(log.remembered(), 1, "the event speaks for it");
        log.apply(&stream.heartbeat(960), NOW + HORIZON + NOW + HORIZON + NOW);
        assert_eq!(log.remembered(), 0);
        assert_eq!(log.admit_cached(id(1), entry(5, 3, 940)), Err(Rejection::BeforeStart));
    }

    #[test]
    fn an_older_event_does_not_take_an_answer_along_when_it_is_forgotten() {
        let (mut log, mut stream) = begun();
        log.answered(id(1), entry(5, 4, 500));
        log.apply(&stream.deleted(1, 3, 110), NOW);
        log.apply(&stream.heartbeat(120), NOW + HORIZON + NOW);
        assert_eq!(log.floor(id(1)), version(4));
    }

    #[test]
    fn a_heartbeat_that_is_heard_again_takes_nothing_back() {
        let (mut log, mut stream) = begun();
        let again = Stream { epoch: 5, last: stream.last }.heartbeat(110);
        log.apply(&stream.heartbeat(120), NOW);
        let generation = log.generation();
        assert_eq!(log.apply(&again, NOW), Applied::Restarted);
        assert_eq!(log.position(), Some(Position(120)));
        assert!(log.generation() > generation);
    }
}
