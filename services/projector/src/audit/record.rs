//! What was asked and answered about one product, with nothing decided yet.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use catalog::{Product, ProductId, Version};
use events::{ChangeKind, Epoch, Position};
use time::OffsetDateTime;

/// What the primary said. Times without a date are of the auditor's own clock, which never falls.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// The connection it was read on: a restart or crash of the server ends it.
    pub(super) connection: u64,
    pub(super) epoch: Epoch,
    /// Whether the epoch was made on this very start of the server.
    pub(super) is_settled: bool,
    /// [`Version::ABSENT`] if there never was such a product.
    pub(super) version: Version,
    /// `None` also for a tombstone.
    pub(super) product: Option<Product>,
    /// The primary's clock, read in a statement after the row: whatever is in this reading was visible before it.
    pub(super) t: OffsetDateTime,
    /// The newest moment that the log had announced before `t` was read; `None` if the log was silent.
    pub(super) announced: Option<OffsetDateTime>,
    /// When the oldest transaction began that waited for a replica then: its changes are not visible here yet.
    pub(super) oldest_wait: Option<OffsetDateTime>,
    pub(super) began: Duration,
    pub(super) ended: Duration,
}

/// Whom an answer is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    Redis,
    /// By its place in the setting, from 0.
    Node(usize),
}

impl fmt::Display for Tier {
    /// As in metrics and tables: nodes are counted from 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redis => f.write_str("redis"),
            Self::Node(place) => write!(f, "node-{}", place + 1),
        }
    }
}

/// What a tier said of a product.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    Product(Box<Product>),
    /// There is no such product. A node does not say since which version: then it is [`Version::ABSENT`].
    Absent(Version),
    /// A body that is no product, or not the one that its headers say.
    Malformed(Version),
}

impl Seen {
    pub(super) fn version(&self) -> Version {
        match self {
            Self::Product(product) => product.version,
            Self::Absent(version) | Self::Malformed(version) => *version,
        }
    }
}

/// What vouches for an answer.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    /// A node's `Catalog-As-Of`, if it gave one.
    AsOf(Option<OffsetDateTime>),
    /// An entry claims nothing but where it came from.
    Entry { epoch: Epoch, read_at: Position },
}

/// What a node had answered about the same product before, on the same connection and so in the same life of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) connection: SocketAddr,
    /// The highest version answered, and the `Catalog-As-Of` with it.
    pub(super) version: Version,
    pub(super) as_of: OffsetDateTime,
    /// Whether it has answered since then that there is no such product.
    pub(super) is_gone: bool,
}

/// One answer of one tier.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) tier: Tier,
    pub(super) seen: Seen,
    pub(super) claim: Claim,
    pub(super) earlier: Option<Earlier>,
    /// Empty for Redis.
    pub(super) cache_status: String,
    pub(super) asked: Duration,
    pub(super) answered: Duration,
}

/// A change as the stream told of it.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) id: ProductId,
    pub(super) version: Version,
    pub(super) kind: ChangeKind,
    pub(super) epoch: Epoch,
    pub(super) position: Position,
    /// The event's time, by the primary's clock.
    pub(super) time: OffsetDateTime,
    /// When the auditor heard of it.
    pub(super) heard: Duration,
}

impl Change {
    /// Whether an answer shows this change or a later one.
    pub(super) fn is_shown_by(&self, answer: &Answer) -> bool {
        if let Claim::Entry { epoch, .. } = answer.claim {
            return (epoch, answer.seen.version()) >= (self.epoch, self.version);
        }
        match &answer.seen {
            // Only a deletion, or one after this change, takes a product away.
            Seen::Absent(_) => self.kind != ChangeKind::Created,
            seen => seen.version() >= self.version,
        }
    }
}
