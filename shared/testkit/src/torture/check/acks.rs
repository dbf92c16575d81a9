//! The acknowledged writes of one product, asked by time and by version.

use super::{Moment, Outcome, Write};

/// An acknowledged write.
#[derive(Clone, Copy)]
pub(super) struct Ack {
    pub(super) start: Moment,
    pub(super) end: Moment,
    pub(super) version: u32,
}

pub(super) struct Acks {
    /// In the order in which they were answered.
    by_end: Vec<Ack>,
    /// Beside each, the newest version up to it.
    newest: Vec<u32>,
    /// In the order of versions, each with the first answer to it or to a newer one.
    first: Vec<(u32, Moment)>,
}

impl Acks {
    pub(super) fn of(writes: &[&Write]) -> Self {
        let acknowledged = |write: &&Write| match write.outcome {
            Outcome::Acknowledged { version, .. } => Some(Ack { start: write.start, end: write.end, version }),
            Outcome::Refused | Outcome::Unknown => None,
        };
        let mut acks: Vec<Ack> = writes.iter().filter_map(acknowledged).collect();
        acks.sort_unstable_by_key(|ack| ack.version);
        let mut first: Vec<(u32, Moment)> = acks.iter().map(|ack| (ack.version, ack.end)).collect();
        for index in (1..first.len()).rev() {
            first[index - 1].1 = first[index - 1].1.min(first[index].1);
        }
        acks.sort_unstable_by_key(|ack| ack.end);
        let newest = acks.iter().scan(0, |newest, ack| {
            *newest = ack.version.max(*newest);
            Some(*newest)
        });
        Self { newest: newest.collect(), by_end: acks, first }
    }

    pub(super) fn all(&self) -> &[Ack] {
        &self.by_end
    }

    /// The newest version acknowledged strictly before a moment; 0 for none.
    pub(super) fn newest_before(&self, moment: Moment) -> u32 {
        let before = self.by_end.partition_point(|ack| ack.end < moment);
        before.checked_sub(1).map_or(0, |last| self.newest[last])
    }

    /// The newest version of all; 0 for none.
    pub(super) fn newest(&self) -> u32 {
        self.newest.last().copied().unwrap_or_default()
    }

    /// When the first version above this one was acknowledged.
    pub(super) fn first_above(&self, version: u32) -> Option<Moment> {
        let above = self.first.partition_point(|(acked, _)| *acked <= version);
        self.first.get(above).map(|(_, end)| *end)
    }
}
