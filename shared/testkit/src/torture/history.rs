//! What clients saw: every write and every read of a run, small enough that millions fit in memory.

use std::fmt;

/// Microseconds since the run began, by the machine's wall clock, which the primary's `Catalog-As-Of` is of too. Enough for 71
/// minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u32);

/// A product's id.
pub type Key = u32;

/// What a write made of a product: each write of a run has a mark of its own, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u32);

impl Mark {
    /// There is no product: not yet, or no more.
    pub const ABSENT: Self = Self(0);
}

/// What became of a write, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with this version and, of the product's bytes, this digest (0 where the answer shows none).
    Acknowledged { version: u32, digest: u32 },
    /// It was refused or never sent, and must never be seen.
    Refused,
    /// It got no answer, or one that tells nothing: it may have been applied, once.
    Unknown,
}

/// One attempt to create, change or delete a product.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    pub client: u16,
    /// None of a product whose creation was not answered.
    pub key: Option<Key>,
    /// [`Mark::ABSENT`] of a deletion.
    pub mark: Mark,
    pub start: Moment,
    pub end: Moment,
    pub outcome: Outcome,
}

/// How a product was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    ById,
    Ids,
    Skus,
    List,
    Search,
}

/// Which tier had the answer, by its `Cache-Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    Near,
    Redis,
    Replica,
    Primary,
    Unknown,
}

/// One product in one answer; an answer about several is several of these.
#[derive(Clone, Copy, Debug)]
pub struct Read {
    pub start: Moment,
    pub end: Moment,
    pub key: Key,
    /// 0 if it was not there.
    pub version: u32,
    pub mark: Mark,
    /// Of the product's bytes; 0 if it was not there.
    pub digest: u32,
    /// The version that a token of the request names of this product; 0 for none.
    pub required: u32,
    /// When the last of the writes began whose tokens the request sent; 0 without tokens. What was acknowledged before is
    /// part of the answer, whatever it is about.
    pub token_at: Moment,
    /// `Catalog-As-Of`; 0 for none.
    pub as_of: Moment,
    pub client: u16,
    /// From 1; 0 is whichever node the gateway chose.
    pub node: u8,
    /// Which life of the node's process, from 1; 0 if it was restarted meanwhile. What one life has answered, the next
    /// does not know: nothing is promised across them but what tokens and `Catalog-As-Of` say.
    pub life: u8,
    pub asked: Asked,
    pub tier: Tier,
}

/// A product at the end of the run, when everything was healed and had time to converge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    pub key: Key,
    /// Of a deleted product, on the primary that of its tombstone; on a node 0.
    pub version: u32,
    pub mark: Mark,
}

impl Settled {
    /// What a node shows that does not answer: nothing that the primary could have.
    pub const fn unanswered(key: Key) -> Self {
        Self { key, version: u32::MAX, mark: Mark(u32::MAX) }
    }
}

/// A whole run.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub writes: Vec<Write>,
    pub reads: Vec<Read>,
    /// Every row of the primary's table at the end.
    pub primary: Vec<Settled>,
    /// What each node showed at the end of every row of the primary's.
    pub nodes: Vec<(u8, Settled)>,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", f64::from(self.0) / 1e6)
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, mark, start, end, outcome, .. } = self;
        let what = if *mark == Mark::ABSENT { "delete".to_owned() } else { format!("write #{}", mark.0) };
        write!(f, "{start} .. {end}  client {client}: {what}, ")?;
        match outcome {
            Outcome::Acknowledged { version, .. } => write!(f, "acknowledged as version {version}"),
            Outcome::Refused => f.write_str("refused"),
            Outcome::Unknown => f.write_str("no answer"),
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end, version, mark, digest, client, node, life, asked, tier, .. } = self;
        write!(f, "{start} .. {end}  client {client}, node {node} life {life}, {asked:?} from {tier:?}: ")?;
        if *mark == Mark::ABSENT {
            f.write_str("absent")?;
        } else {
            write!(f, "version {version} #{} ({digest:08x})", mark.0)?;
        }
        if self.as_of > Moment(0) {
            write!(f, ", as of {}", self.as_of)?;
        }
        if self.required > 0 {
            write!(f, ", token of version {}", self.required)?;
        }
        Ok(())
    }
}
