//! Where an entry came from, and why it may not be served.

use catalog::Version;
use events::{Epoch, Position};

/// What is known of one entry, whichever tier it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Provenance {
    pub epoch: Epoch,
    /// The product's version; [`Version::ABSENT`] for "there is no such product".
    pub version: Version,
    /// *R*: the source's position read before the snapshot of the query, on the query's own connection; the event's
    /// position if the entry was made from an event. The entry includes every change strictly below it.
    pub read_at: Position,
}

impl Provenance {
    /// Whether the entry includes a change of its epoch whose event has this position.
    pub fn covers(self, position: Position) -> bool {
        // Strictly: a commit at this very position need not have been visible yet.
        position < self.read_at
    }

    /// Whether an entry of the same product is to replace one of `held`: the order of the script in Redis.
    pub fn is_newer_than(self, held: Self) -> bool {
        self.order() > held.order()
    }

    /// What entries of one product are compared by.
    pub(crate) const fn order(self) -> (Epoch, Version, Position) {
        (self.epoch, self.version, self.read_at)
    }
}

/// Why an entry is not admitted; the next source may have a better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// It belongs to another life of the database.
    OtherEpoch,
    /// The log, or an answer of this node, has shown a newer version.
    BelowFloor,
    /// It is older than what the log tail reaches back to, so nothing vouches for it.
    BeforeStart,
    /// It is a page of a list, and a change that the log has shown has moved that list since.
    Overtaken,
}

impl Rejection {
    /// The word in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::OtherEpoch => "other_epoch",
            Self::BelowFloor => "below_floor",
            Self::BeforeStart => "before_start",
            Self::Overtaken => "overtaken",
        }
    }
}
