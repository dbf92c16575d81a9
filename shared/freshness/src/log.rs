//! The log as one node has followed it: floors, the start of what it can vouch for, and the last heartbeat.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use catalog::{ProductId, Version};
use events::{Epoch, Heartbeat, Message, Position};
use uuid::Uuid;

use crate::{Provenance, Rejection};

/// How many changes and answers are remembered at most: about 100 MB. At 1,000 a second this is 16 minutes, above the
/// default horizon; beyond it the oldest are forgotten early, which costs hits, never correctness.
const REMEMBERED_MAX: usize = 1_000_000;

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
#[derive(Debug)]
pub struct Log {
    horizon: Duration,
    epoch: Epoch,
    /// Whether a message of the present epoch has been processed; until then nothing vouches for a cached entry.
    has_begun: bool,
    /// Every change above this position is in `floors` or still to come.
    start: Position,
    floors: HashMap<ProductId, Floor>,
    remembered: VecDeque<Remembered>,
    last_message: Option<Uuid>,
    heartbeat: Option<Heartbeat>,
    /// The largest position that an answer of this node was read at.
    answered_at: Position,
}

#[derive(Debug, Default)]
struct Floor {
    version: Version,
    /// How many remembered changes and answers speak of the product; the floor goes with the last of them.
    remembered: u32,
}

#[derive(Debug)]
struct Remembered {
    since: Duration,
    id: ProductId,
    /// Of an event its own position, of an answer the one that it was read at.
    position: Position,
    is_event: bool,
}

impl Log {
    /// A follower that knows nothing yet. `horizon` is how far back it remembers: it decides hits, never correctness.
    pub fn new(horizon: Duration) -> Self {
        Self {
            horizon,
            epoch: Epoch::default(),
            has_begun: false,
            start: Position::default(),
            floors: HashMap::new(),
            remembered: VecDeque::new(),
            last_message: None,
            heartbeat: None,
            answered_at: Position::default(),
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
            // What stood between the last message processed and this one is unknown. Floors stay: versions only rise.
            self.start = self.start.max(stamp.position);
            self.has_begun = true;
        }
        match message {
            Message::Product(event) => self.remember(event.change.id, event.change.version, stamp.position, true, now),
            Message::Heartbeat { heartbeat, .. } => self.heartbeat = Some(*heartbeat),
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
    pub fn answered(&mut self, id: ProductId, entry: Provenance, now: Duration) {
        if entry.epoch == self.epoch && entry.version > self.floor(id) {
            self.answered_at = self.answered_at.max(entry.read_at);
            self.remember(id, entry.version, entry.read_at, false, now);
            self.forget_old(now);
        }
    }

    /// Whether the log vouches for cached entries at all.
    pub const fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last heartbeat of the present epoch.
    pub const fn heartbeat(&self) -> Option<Heartbeat> {
        self.heartbeat
    }

    /// The newest version of a product that this node knows of.
    pub fn floor(&self, id: ProductId) -> Version {
        self.floors.get(&id).map(|floor| floor.version).unwrap_or_default()
    }

    /// How many changes and answers are remembered.
    pub fn remembered(&self) -> usize {
        self.remembered.len()
    }

    fn admit_position(&self, read_at: Position) -> Result<(), Rejection> {
        // Strictly: an event at this very position need not be in the entry's snapshot.
        if read_at > self.start { Ok(()) } else { Err(Rejection::BeforeStart) }
    }

    fn admit_version(&self, id: ProductId, version: Version) -> Result<(), Rejection> {
        if version >= self.floor(id) { Ok(()) } else { Err(Rejection::BelowFloor) }
    }

    fn begin_epoch(&mut self, epoch: Epoch) {
        *self = Self { epoch, last_message: self.last_message, ..Self::new(self.horizon) };
    }

    fn remember(&mut self, id: ProductId, version: Version, position: Position, is_event: bool, now: Duration) {
        let floor = self.floors.entry(id).or_default();
        floor.version = floor.version.max(version);
        floor.remembered += 1;
        self.remembered.push_back(Remembered { since: now, id, position, is_event });
    }

    /// Forgets what is older than the horizon, or more than the limit, and moves the start past it.
    fn forget_old(&mut self, now: Duration) {
        while let Some(oldest) = self.remembered.front() {
            // An answer may be ahead of the log. Once the log has passed what it was read at, an event speaks for it.
            let is_vouched_for = oldest.is_event || self.heartbeat.is_some_and(|beat| oldest.position < beat.h);
            let is_old = now.saturating_sub(oldest.since) > self.horizon;
            if !(is_old && is_vouched_for) && self.remembered.len() <= REMEMBERED_MAX {
                return;
            }
            if oldest.is_event {
                self.start = self.start.max(oldest.position);
            } else if !is_vouched_for {
                self.start = self.start.max(self.answered_at);
            }
            let id = oldest.id;
            self.remembered.pop_front();
            if let Some(floor) = self.floors.get_mut(&id) {
                floor.remembered -= 1;
                if floor.remembered == 0 {
                    self.floors.remove(&id);
                }
            }
        }
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
    fn an_answer_is_remembered_until_the_log_has_passed_it() {
        let (mut log, mut stream) = begun();
        log.answered(id(1), entry(5, 4, 500), NOW);
        log.apply(&stream.heartbeat(400), NOW + HORIZON + NOW);
        assert_eq!(log.admit_cached(id(1), entry(5, 3, 450)), Err(Rejection::BelowFloor));
        log.apply(&stream.deleted(1, 4, 450), NOW + HORIZON + NOW);
        log.apply(&stream.heartbeat(501), NOW + HORIZON + NOW);
        assert_eq!(log.floor(id(1)), version(4), "the event still speaks for it");
    }
}
