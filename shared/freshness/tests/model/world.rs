//! Everything that the model's world consists of. The nodes hold the real `freshness::Log`.

use std::sync::Arc;

use catalog::{ProductId, Version};
use events::{Change, Epoch, Heartbeat, Message, Position, ProductEvent, Stamp};
use freshness::{Kept, Log, Provenance, Token};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::database::{Database, Rows};
use crate::limits::Spent;

pub(crate) const KEYS: usize = 2;
pub(crate) const WRITERS: usize = 2;
pub(crate) const NODES: usize = 2;
pub(crate) const RELAYS: usize = 2;
/// Heartbeats are numbered from here, so that no id is also that of a write.
const FIRST_BEAT: u8 = 100;

/// One write, numbered from 1; 0 stands for "never written".
pub(crate) type WriteId = u8;

/// The state of the whole world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// How many writes were acknowledged. It is the clock: `t` claims every write acknowledged before it.
    pub(crate) clock: u8,
    /// How many epochs were made: the part of the wall clock that matters.
    pub(crate) mints: u8,
    pub(crate) writes: Vec<Write>,
    /// What each writer has inserted and not yet seen committed.
    pub(crate) writers: [Option<WriteId>; WRITERS],
    pub(crate) primary: Arc<Database>,
    /// The primary before the last failover, isolated but alive.
    pub(crate) old_primary: Option<Arc<Database>>,
    /// How far the replica has replayed the primary's log.
    pub(crate) replayed: u8,
    pub(crate) stream: Arc<Vec<Stored>>,
    pub(crate) beats: u8,
    pub(crate) relays: [Relay; RELAYS],
    pub(crate) leader: usize,
    pub(crate) redis: [Option<Entry>; KEYS],
    /// An older dump of Redis: what was last overwritten or evicted.
    pub(crate) dump: [Option<Entry>; KEYS],
    pub(crate) nodes: [Arc<Node>; NODES],
    pub(crate) spent: Spent,
    /// The properties that this state breaks, as bits.
    pub(crate) broken: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) key: usize,
    pub(crate) version: u8,
    /// What it changed; 0 for the first of its product.
    pub(crate) before: WriteId,
    /// Which acknowledgement it was, and what it handed out.
    pub(crate) acknowledged: Option<(u8, Token)>,
}

/// Position and id of a message; 0 of both for none.
pub(crate) type Link = (u8, u8);

/// A message as the stream holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Stored {
    pub(crate) id: u8,
    pub(crate) previous: Link,
    pub(crate) epoch: u8,
    pub(crate) position: u8,
    pub(crate) says: Says,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Says {
    Changed { key: usize, version: u8 },
    Beat { t: u8, h: u8 },
}

/// One entry of a cache, or one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) provenance: Provenance,
    /// Whose content it is, so that a lost write is told from the one that got its version.
    pub(crate) write: WriteId,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    #[default]
    Idle,
    /// The stream's end, *t* and *h* are known.
    Learnt,
    /// The rows and the mark are known.
    Selected,
    /// The position is known; messages go out one by one.
    Publishing,
    /// All is published, nothing is settled.
    Published,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Relay {
    pub(crate) stage: Stage,
    /// Its session is one with the old primary.
    pub(crate) is_old: bool,
    /// It has lost its session and only sends what it has in hand.
    pub(crate) is_zombie: bool,
    pub(crate) t: u8,
    pub(crate) h: u8,
    pub(crate) expected: u8,
    pub(crate) last: Link,
    pub(crate) epoch: u8,
    pub(crate) rows: Rows,
    pub(crate) unsent: Rows,
    pub(crate) position: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) log: Log,
    /// How many messages of the stream were taken.
    pub(crate) taken: u8,
    pub(crate) now: u8,
    pub(crate) near: [Option<Near>; KEYS],
    /// An event whose floor is raised and whose near entry is not yet refreshed.
    pub(crate) unrefreshed: Option<(usize, Entry)>,
    pub(crate) flight: Option<Flight>,
    /// Of mutations only: a value that a request has taken before it looks at the log.
    pub(crate) held: Option<(usize, Entry)>,
    pub(crate) ghost: Ghost,
}

/// A version, and whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Newest {
    pub(crate) version: u8,
    pub(crate) write: WriteId,
}

impl Newest {
    pub(crate) fn raise(&mut self, entry: &Entry) {
        if entry.version() >= self.version {
            *self = Self { version: entry.version(), write: entry.write };
        }
    }
}

/// What the properties remember of a node; no rule reads it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    pub(crate) epoch: u64,
    /// The newest version seen in the log in this epoch.
    pub(crate) seen: [Newest; KEYS],
    /// The newest version answered in this epoch.
    pub(crate) answered: [Newest; KEYS],
    /// The latest `as_of` shown in this epoch.
    pub(crate) as_of: Option<u8>,
    /// The `as_of` of the last heartbeat taken, whatever came before.
    pub(crate) last_beat: Option<u8>,
    /// The last message taken.
    pub(crate) last: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Near {
    pub(crate) kept: Kept,
    /// Whose content it is.
    pub(crate) write: WriteId,
}

/// Which database a flight asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Primary,
    Replica,
    OldPrimary,
}

/// A read of a database under way; it may stand still between any two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flight {
    pub(crate) key: usize,
    pub(crate) source: Source,
    /// The life of the server that the connection was opened to.
    pub(crate) boot: u8,
    pub(crate) read_at: u8,
    pub(crate) landed: Landed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Landed {
    Nothing,
    Read(Entry),
    /// Admitted, and about to be kept in the caches.
    Admitted(Entry, u64),
}

impl Node {
    pub(crate) fn started(taken: u8, horizon: std::time::Duration) -> Self {
        Self {
            log: Log::new(horizon),
            taken,
            now: 0,
            near: [None; KEYS],
            unrefreshed: None,
            flight: None,
            held: None,
            ghost: Ghost::default(),
        }
    }
}

impl Stored {
    pub(crate) fn beat_id(beats: u8) -> u8 {
        FIRST_BEAT + beats
    }

    pub(crate) const fn link(&self) -> Link {
        (self.position, self.id)
    }

    /// The message as nodes decode it.
    pub(crate) fn message(&self) -> Message {
        let id = uuid(self.id);
        let stamp = |(position, _): Link, previous| Stamp {
            epoch: Epoch(self.epoch.into()),
            position: Position(position.into()),
            previous,
        };
        let (_, before) = self.previous;
        let previous = (before > 0).then(|| stamp(self.previous, None).link(uuid(before)));
        let stamp = stamp(self.link(), previous);
        match self.says {
            Says::Changed { key, version: at } => {
                let change = Change { id: product(key), version: version(at), before: None, after: None, words: None };
                Message::Product(Box::new(ProductEvent { event_id: id, time: moment(0), stamp, change }))
            }
            Says::Beat { t, h } => {
                Message::Heartbeat { id, stamp, heartbeat: Heartbeat { t: moment(t), h: Position(h.into()) } }
            }
        }
    }

    /// The entry that this event makes, if it is one.
    pub(crate) fn entry(&self) -> Option<(usize, Entry)> {
        let Says::Changed { key, version } = self.says else { return None };
        Some((key, entry(self.epoch, version, self.position, self.id)))
    }
}

pub(crate) fn entry(epoch: u8, at: u8, read_at: u8, write: WriteId) -> Entry {
    let provenance = Provenance { epoch: Epoch(epoch.into()), version: version(at), read_at: Position(read_at.into()) };
    Entry { provenance, write }
}

impl Entry {
    pub(crate) fn version(&self) -> u8 {
        u8::try_from(self.provenance.version.get()).expect("the model writes little")
    }
}

/// Beside the bits that a link changes: numbers as small as positions would collide, as random ids do not.
fn uuid(id: u8) -> Uuid {
    Uuid::from_u64_pair(id.into(), 0)
}

pub(crate) fn product(key: usize) -> ProductId {
    i64::try_from(key + 1).ok().and_then(|id| id.try_into().ok()).expect("positive")
}

pub(crate) fn version(at: u8) -> Version {
    i64::from(at).try_into().expect("not negative")
}

pub(crate) fn moment(t: u8) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(t.into())
}

pub(crate) fn tick(moment: OffsetDateTime) -> u8 {
    u8::try_from(moment.unix_timestamp()).expect("the model's clock is small")
}
