//! A Postgres server: its write-ahead log, and what a snapshot of it shows.

use crate::world::{Write, WriteId};

/// A set of writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rows(u32);

impl Rows {
    pub(crate) fn insert(&mut self, write: WriteId) {
        self.0 |= 1 << write;
    }

    pub(crate) fn contains(self, write: WriteId) -> bool {
        self.0 & 1 << write != 0
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Takes out the first, in the order of the outbox.
    pub(crate) fn take_first(&mut self) -> Option<WriteId> {
        let first = WriteId::try_from(self.0.trailing_zeros()).ok().filter(|_| !self.is_empty())?;
        self.0 &= self.0 - 1;
        Some(first)
    }
}

/// Sequence and id of the last message that the relay has vouched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    pub(crate) sequence: u8,
    pub(crate) id: u8,
}

/// The row of the table `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct EpochRow {
    pub(crate) number: u8,
    /// The life of the server that it was made on.
    pub(crate) boot: u8,
    pub(crate) mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    /// The commit of a write and its outbox row.
    Written(WriteId),
    Settled(Rows, Mark),
    Epoch(EpochRow),
    /// The end of recovery after a promotion.
    Promoted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    /// Which life of the server this is.
    pub(crate) boot: u8,
    /// A record's position is the number of records up to and with it.
    pub(crate) wal: Vec<Record>,
    /// In the write-ahead log, and not yet visible to any snapshot of this server.
    pub(crate) invisible: Rows,
}

impl Database {
    pub(crate) fn first() -> Self {
        let row = EpochRow { number: 1, boot: 1, mark: Mark::default() };
        Self { boot: 1, wal: vec![Record::Epoch(row)], invisible: Rows::default() }
    }

    /// The insert position.
    pub(crate) fn position(&self) -> u8 {
        u8::try_from(self.wal.len()).expect("the model's log is short")
    }

    /// What a replica becomes that has replayed the log up to `replayed` and is promoted.
    pub(crate) fn promoted(&self, replayed: u8) -> Self {
        let mut wal = self.wal[..replayed.into()].to_vec();
        wal.push(Record::Promoted);
        Self { boot: self.boot + 1, wal, invisible: Rows::default() }
    }

    /// The newest visible write of a key: its version, and which it is; 0 of both if there is none.
    pub(crate) fn row(&self, key: usize, writes: &[Write]) -> (u8, WriteId) {
        let visible = |write: &WriteId| !self.invisible.contains(*write);
        newest(key, writes, written(&self.wal).filter(visible))
    }

    /// The same on a replica: what is replayed is visible there, also what is not yet on the primary.
    pub(crate) fn row_replayed(&self, key: usize, writes: &[Write], replayed: u8) -> (u8, WriteId) {
        newest(key, writes, written(&self.wal[..replayed.into()]))
    }

    pub(crate) fn epoch(&self) -> EpochRow {
        epoch_of(&self.wal)
    }

    pub(crate) fn epoch_replayed(&self, replayed: u8) -> EpochRow {
        epoch_of(&self.wal[..replayed.into()])
    }

    /// Whether the epoch was made on this very server.
    pub(crate) fn vouches(&self) -> bool {
        self.epoch().boot == self.boot
    }

    /// The visible outbox.
    pub(crate) fn pending(&self) -> Rows {
        let mut rows = Rows::default();
        for record in &self.wal {
            match *record {
                Record::Written(write) if !self.invisible.contains(write) => rows.insert(write),
                Record::Settled(settled, _) => rows = rows.without(settled),
                _ => {}
            }
        }
        rows
    }

    /// Whether a write is part of this database's history.
    pub(crate) fn has(&self, write: WriteId) -> bool {
        write == 0 || written(&self.wal).any(|held| held == write)
    }
}

fn written(wal: &[Record]) -> impl Iterator<Item = WriteId> {
    wal.iter().filter_map(|record| match record {
        Record::Written(write) => Some(*write),
        _ => None,
    })
}

fn newest(key: usize, writes: &[Write], held: impl Iterator<Item = WriteId>) -> (u8, WriteId) {
    let of_key = held.filter(|write| writes[usize::from(*write) - 1].key == key);
    of_key.last().map_or((0, 0), |write| (writes[usize::from(write) - 1].version, write))
}

fn epoch_of(wal: &[Record]) -> EpochRow {
    let mut row = EpochRow { number: 0, boot: 0, mark: Mark::default() };
    for record in wal {
        match *record {
            Record::Epoch(begun) => row = begun,
            Record::Settled(_, mark) => row.mark = mark,
            _ => {}
        }
    }
    row
}
