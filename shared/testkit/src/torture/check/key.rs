//! The rules, applied to what happened to one product.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::acks::Acks;
use super::{History, Key, Mark, Moment, Outcome, Read, Rule, Verdict, Write};
use crate::torture::history::{Asked, Settled};

/// Above every version: where a deleted product is for good, since its id never returns.
const TOMBSTONE: u32 = u32::MAX;

/// Creations without an answer, by their marks: such a write belongs to whichever product shows its mark.
type Unnamed<'h> = HashMap<Mark, &'h Write>;

/// Everything about one product.
#[derive(Default)]
struct KeyHistory<'h> {
    key: Key,
    writes: Vec<&'h Write>,
    /// In the order in which they began.
    reads: Vec<&'h Read>,
    primary: Option<Settled>,
    nodes: Vec<(u8, Settled)>,
}

/// Applies every rule to every product.
pub(super) fn check_all(history: &History, verdict: &mut Verdict) {
    let mut keys: BTreeMap<Key, KeyHistory<'_>> = BTreeMap::new();
    let mut unnamed = Unnamed::new();
    for write in &history.writes {
        match write.key {
            Some(key) => keys.entry(key).or_default().writes.push(write),
            None => drop(unnamed.insert(write.mark, write)),
        }
    }
    for read in &history.reads {
        keys.entry(read.key).or_default().reads.push(read);
    }
    for row in &history.primary {
        keys.entry(row.key).or_default().primary = Some(*row);
    }
    for (node, seen) in &history.nodes {
        keys.entry(seen.key).or_default().nodes.push((*node, *seen));
    }
    for (key, mut of_key) in keys {
        of_key.key = key;
        of_key.reads.sort_unstable_by_key(|read| read.start);
        let acks = Acks::of(&of_key.writes);
        of_key.check_order(&acks, verdict);
        of_key.check_contents(&unnamed, verdict);
        of_key.check_headers(&acks, verdict);
        of_key.check_nodes(verdict);
        of_key.check_end(&acks, verdict);
    }
}

impl KeyHistory<'_> {
    fn check_order(&self, acks: &Acks, verdict: &mut Verdict) {
        for ack in acks.all() {
            let before = acks.newest_before(ack.start);
            if ack.version <= before {
                let detail = format!("version {} began after version {before} was acknowledged", ack.version);
                verdict.add(Rule::WritesOutOfOrder, self.key, ack.end, detail);
            }
        }
    }

    /// One version is one content, made by one write, which was really made.
    fn check_contents(&self, unnamed: &Unnamed<'_>, verdict: &mut Verdict) {
        let by_mark: HashMap<Mark, &Write> = self.writes.iter().map(|write| (write.mark, *write)).collect();
        let mut versions = Versions::default();
        for write in &self.writes {
            if let Outcome::Acknowledged { version, digest } = write.outcome
                && let Some(rule) = versions.note(version, write.mark, digest)
            {
                verdict.add(rule, self.key, write.end, write.to_string());
            }
        }
        let mut claimed = HashSet::new();
        for read in self.reads.iter().filter(|read| read.mark != Mark::ABSENT) {
            let write = by_mark.get(&read.mark).or_else(|| unnamed.get(&read.mark));
            let is_possible = write.is_some_and(|write| write.outcome != Outcome::Refused && write.start <= read.end);
            let broken = if is_possible {
                claimed.extend(unnamed.contains_key(&read.mark).then_some(read.mark));
                versions.note(read.version, read.mark, read.digest)
            } else {
                Some(Rule::Phantom)
            };
            if let Some(rule) = broken {
                verdict.add(rule, self.key, read.end, read.to_string());
            }
        }
        let Some(row) = self.primary else { return };
        claimed.extend(unnamed.contains_key(&row.mark).then_some(row.mark));
        let possible = self.writes.iter().filter(|write| write.outcome != Outcome::Refused).count() + claimed.len();
        if row.version as usize > possible {
            let detail = format!("version {} after {possible} writes that may have been applied", row.version);
            verdict.add(Rule::Phantom, self.key, self.end(), detail);
        }
        if let Some(rule) = versions.note(row.version, row.mark, 0) {
            verdict.add(rule, self.key, self.end(), format!("the primary has version {} #{}", row.version, row.mark.0));
        }
    }

    /// What `Consistency-Token` and `Catalog-As-Of` promise.
    fn check_headers(&self, acks: &Acks, verdict: &mut Verdict) {
        for read in &self.reads {
            let at_most = self.at_most(read);
            let required = read.required.max(acks.newest_before(read.token_at));
            if at_most < required {
                let detail = format!("lacks version {required}: {read}");
                verdict.add(Rule::StaleWithToken, self.key, read.end, detail);
            }
            let before = acks.newest_before(read.as_of);
            if at_most < before {
                let detail = format!("lacks version {before}: {read}");
                verdict.add(Rule::OlderThanAsOf, self.key, read.end, detail);
            }
            if read.token_at == Moment::default()
                && let Some(acked) = acks.first_above(at_most)
                && acked < read.start
            {
                let staleness = &mut verdict.staleness;
                staleness.stale_reads += 1;
                staleness.max_micros = staleness.max_micros.max(read.start.0 - acked.0);
            }
        }
    }

    /// In one life of a node, who asks after an answer gets nothing older than that answer.
    ///
    /// Not to be on a page is no answer about a product: which products a page holds is as of its own moment.
    fn check_nodes(&self, verdict: &mut Verdict) {
        let mut lives: BTreeMap<(u8, u8), Vec<&Read>> = BTreeMap::new();
        let is_about_it = |read: &Read| read.mark != Mark::ABSENT || matches!(read.asked, Asked::ById | Asked::Ids);
        for read in self.reads.iter().filter(|read| read.node > 0 && read.life > 0 && is_about_it(read)) {
            lives.entry((read.node, read.life)).or_default().push(read);
        }
        for begun in lives.values() {
            let mut ended: Vec<usize> = (0..begun.len()).collect();
            ended.sort_unstable_by_key(|index| begun[*index].end);
            let mut ended = ended.into_iter().peekable();
            // What each read proves that the node had, and the most of those that ended before the present one began.
            let mut at_least = vec![0; begun.len()];
            let mut newest: Option<(u32, &Read)> = None;
            for (index, read) in begun.iter().enumerate() {
                while let Some(before) = ended.next_if(|before| begun[*before].end < read.start) {
                    if newest.is_none_or(|(version, _)| version < at_least[before]) {
                        newest = Some((at_least[before], begun[before]));
                    }
                }
                let (seen, at_most) = (newest.map_or(0, |(version, _)| version), self.at_most(read));
                if let Some((_, before)) = newest
                    && at_most < seen
                {
                    verdict.add(Rule::Backwards, self.key, read.end, format!("{read}\n    after {before}"));
                }
                // One that is absent after it was there has been deleted; otherwise it may not have been there yet.
                at_least[index] = if read.mark != Mark::ABSENT || seen > 0 { at_most } else { 0 };
            }
        }
    }

    fn check_end(&self, acks: &Acks, verdict: &mut Verdict) {
        let stored = self.primary.map_or(0, |row| row.version);
        if stored < acks.newest() {
            let detail = format!("version {} was acknowledged, the primary has {stored}", acks.newest());
            verdict.add(Rule::LostWrite, self.key, self.end(), detail);
        }
        let Some(row) = self.primary else { return };
        for (node, seen) in &self.nodes {
            let is_same = row.mark == seen.mark && (row.mark == Mark::ABSENT || row.version == seen.version);
            if !is_same {
                let detail = format!("node {node} shows {seen:?}, the primary has {row:?}");
                verdict.add(Rule::NotConverged, self.key, self.end(), detail);
            }
        }
    }

    /// The newest version that a read may have meant: "absent" is the tombstone if a deletion had begun.
    fn at_most(&self, read: &Read) -> u32 {
        if read.mark != Mark::ABSENT {
            return read.version;
        }
        let may_delete = |write: &&&Write| write.mark == Mark::ABSENT && write.outcome != Outcome::Refused;
        let is_deleted = self.writes.iter().filter(may_delete).any(|write| write.start <= read.end);
        if is_deleted { TOMBSTONE } else { 0 }
    }

    /// When the last thing happened to it.
    fn end(&self) -> Moment {
        let ends = self.reads.iter().map(|read| read.end).chain(self.writes.iter().map(|write| write.end));
        ends.max().unwrap_or_default()
    }
}

/// What each version was seen to be, and which version each write made.
#[derive(Default)]
struct Versions {
    made: HashMap<u32, (Mark, u32)>,
    of_mark: HashMap<Mark, u32>,
}

impl Versions {
    /// The rule that is broken by seeing this after all that was seen before. A digest of 0 is not known.
    fn note(&mut self, version: u32, mark: Mark, digest: u32) -> Option<Rule> {
        let (seen_mark, seen_digest) = self.made.entry(version).or_insert((mark, digest));
        if *seen_digest == 0 {
            *seen_digest = digest;
        }
        if *seen_mark != mark || digest != 0 && *seen_digest != digest {
            return Some(Rule::TwoContents);
        }
        // Deletions bear no mark of their own.
        let is_twice = mark != Mark::ABSENT && *self.of_mark.entry(mark).or_insert(version) != version;
        is_twice.then_some(Rule::AppliedTwice)
    }
}
