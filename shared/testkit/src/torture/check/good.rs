//! Histories of a catalogue that keeps every promise, made up from a seed, for tests of the checker.

use crate::torture::history::{Asked, History, Mark, Moment, Outcome, Read, Settled, Tier, Write};
use crate::torture::random::Random;

const KEYS: u32 = 4;
const NODES: usize = 3;
const STEPS: usize = 400;
/// Later than any request takes, so that all begin after 0.
const BEGIN: u32 = 10_000;
/// Between two steps, in microseconds, at most.
const STEP_MICROS_MAX: usize = 1_000;

/// A catalogue in which everything happens at one point between the start and the end of each request.
struct World {
    random: Random,
    now: u32,
    marks: u32,
    /// Of each product, what is stored.
    rows: Vec<Settled>,
    /// Every change in the order of its commit, with the end of its request if it was acknowledged.
    commits: Vec<(Settled, Option<Moment>)>,
    /// How many of the commits each node knows.
    known: [usize; NODES],
    lives: [u8; NODES],
    history: History,
}

/// A history of a few hundred requests.
pub(super) fn good_history(seed: u64) -> History {
    let mut world = World {
        random: Random::new(seed),
        now: BEGIN,
        marks: 0,
        rows: (1..=KEYS).map(|key| Settled { key, version: 0, mark: Mark::ABSENT }).collect(),
        commits: Vec::new(),
        known: [0; NODES],
        lives: [1; NODES],
        history: History::default(),
    };
    for index in 0..KEYS as usize {
        world.change(index, Outcome::Acknowledged { version: 0, digest: 0 });
    }
    for _ in 0..STEPS {
        world.step();
    }
    world.end()
}

impl World {
    fn step(&mut self) {
        self.now += u32::try_from(self.random.below(STEP_MICROS_MAX)).expect("small") + 1;
        let index = self.random.below(KEYS as usize);
        let node = self.random.below(NODES);
        match self.random.below(100) {
            0..25 => self.change(index, Outcome::Acknowledged { version: 0, digest: 0 }),
            25..30 => self.change(index, Outcome::Unknown),
            30..33 => self.write(index, Outcome::Unknown, self.rows[index]),
            33..36 => self.write(index, Outcome::Refused, self.rows[index]),
            36..37 => self.delete(index),
            37..39 => self.lives[node] += 1,
            39..60 => self.known[node] += self.random.below(self.commits.len() - self.known[node] + 1),
            _ => self.read(index, node),
        }
    }

    /// Applies a write of a new mark, unless the product is deleted.
    fn change(&mut self, index: usize, outcome: Outcome) {
        let row = self.rows[index];
        if row.version > 0 && row.mark == Mark::ABSENT {
            return;
        }
        let after = Settled { version: row.version + 1, mark: Mark(self.marks + 1), ..row };
        self.apply(index, after, outcome);
    }

    fn delete(&mut self, index: usize) {
        let row = self.rows[index];
        if row.mark != Mark::ABSENT {
            let after = Settled { version: row.version + 1, mark: Mark::ABSENT, ..row };
            self.apply(index, after, Outcome::Acknowledged { version: 0, digest: 0 });
        }
    }

    fn apply(&mut self, index: usize, after: Settled, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Acknowledged { .. } => Outcome::Acknowledged { version: after.version, digest: digest(after) },
            other => other,
        };
        self.rows[index] = after;
        self.write(index, outcome, after);
        let is_acked = matches!(outcome, Outcome::Acknowledged { .. });
        let end = is_acked.then(|| self.history.writes.last().expect("just written").end);
        self.commits.push((after, end));
    }

    /// Records a write of a new mark, or of none if `after` has none.
    fn write(&mut self, index: usize, outcome: Outcome, after: Settled) {
        let is_delete = after.mark == Mark::ABSENT && after.version > 0;
        self.marks += 1;
        let (start, end) = self.around();
        let mark = if is_delete { Mark::ABSENT } else { Mark(self.marks) };
        let key = Some(self.rows[index].key);
        self.history.writes.push(Write { client: 1, key, mark, start, end, outcome });
    }

    fn read(&mut self, index: usize, node: usize) {
        let (start, end) = self.around();
        let key = self.rows[index].key;
        // A read may know more of its product than the log does, but not less.
        let newest = self.commits.iter().rposition(|(after, _)| after.key == key);
        if self.random.chance(20) {
            self.known[node] = self.known[node].max(newest.map_or(0, |newest| newest + 1));
        }
        let known = &self.commits[..self.known[node]];
        let seen = known.iter().rev().find(|(after, _)| after.key == key).map(|(after, _)| *after);
        let seen = seen.unwrap_or(Settled { key, version: 0, mark: Mark::ABSENT });
        let missing = self.commits[self.known[node]..].iter().filter_map(|(_, end)| *end).min();
        let as_of = missing.unwrap_or(Moment(self.now)).min(Moment(self.now));
        let as_of = if self.random.chance(70) { as_of } else { Moment(0) };
        let is_live = seen.mark != Mark::ABSENT;
        self.history.reads.push(Read {
            start,
            end,
            key,
            version: if is_live { seen.version } else { 0 },
            mark: seen.mark,
            digest: if is_live { digest(seen) } else { 0 },
            required: if self.random.chance(30) { seen.version } else { 0 },
            // Of a write that began when all that the node lacks was not yet acknowledged.
            token_at: if self.random.chance(30) { missing.unwrap_or(start).min(start) } else { Moment(0) },
            as_of,
            client: 2,
            node: u8::try_from(node + 1).expect("few nodes"),
            life: self.lives[node],
            asked: Asked::ById,
            tier: Tier::Near,
        });
    }

    /// A request that takes effect now.
    fn around(&mut self) -> (Moment, Moment) {
        let mut some = || u32::try_from(self.random.below(STEP_MICROS_MAX)).expect("small");
        let (before, after) = (some(), some());
        (Moment(self.now.saturating_sub(before)), Moment(self.now + after))
    }

    fn end(mut self) -> History {
        self.history.primary.clone_from(&self.rows);
        for row in &self.rows {
            let version = if row.mark == Mark::ABSENT { 0 } else { row.version };
            self.history.nodes.extend((1..=3).map(|node| (node, Settled { version, ..*row })));
        }
        self.history
    }
}

fn digest(row: Settled) -> u32 {
    if row.mark == Mark::ABSENT { 0 } else { row.key << 24 | row.mark.0 }
}
