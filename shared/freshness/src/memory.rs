//! What one follower remembers of products: floors, and for how long each is needed.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::time::Duration;

use catalog::{ProductId, Version};
use events::Position;

/// Floors, and in order of arrival the changes and answers that they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    floors: HashMap<ProductId, Floor>,
    changes: VecDeque<Change>,
    answers: VecDeque<Answer>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Floor {
    version: Version,
    /// The newest version among the changes remembered.
    changed: Version,
    /// How many changes are remembered.
    changes: u32,
}

/// One change that was seen in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Change {
    pub(crate) since: Duration,
    pub(crate) id: ProductId,
    pub(crate) version: Version,
    pub(crate) position: Position,
}

/// One answer that was newer than the log, or a change that the log is to show once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    pub(crate) id: ProductId,
    pub(crate) version: Version,
    pub(crate) read_at: Position,
}

impl Memory {
    /// The newest version remembered of a product.
    pub(crate) fn floor(&self, id: ProductId) -> Version {
        self.floors.get(&id).map(|floor| floor.version).unwrap_or_default()
    }

    pub(crate) fn remember_change(&mut self, change: Change) {
        let floor = self.floors.entry(change.id).or_default();
        floor.version = floor.version.max(change.version);
        floor.changed = floor.changed.max(change.version);
        floor.changes += 1;
        self.changes.push_back(change);
        self.reap_answers();
    }

    pub(crate) fn remember_answer(&mut self, answer: Answer) {
        let floor = self.floors.entry(answer.id).or_default();
        floor.version = floor.version.max(answer.version);
        self.answers.push_back(answer);
        self.reap_answers();
    }

    /// Takes the changes from this position on, the last ones remembered, as if the log had not shown them: their floors
    /// stay until it does.
    pub(crate) fn doubt_changes_of(&mut self, position: Position) {
        while let Some(change) = self.changes.pop_back_if(|change| change.position >= position) {
            if let Some(floor) = self.floors.get_mut(&change.id) {
                floor.changes -= 1;
                floor.changed = Version::ABSENT;
            }
            self.answers.push_back(Answer { id: change.id, version: change.version, read_at: change.position });
        }
        self.reap_answers();
    }

    pub(crate) fn changes(&self) -> usize {
        self.changes.len()
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers.len()
    }

    pub(crate) fn oldest_change(&self) -> Option<Change> {
        self.changes.front().copied()
    }

    pub(crate) fn forget_oldest_change(&mut self) {
        let Some(Change { id, .. }) = self.changes.pop_front() else { return };
        if let Some(floor) = self.floors.get_mut(&id) {
            floor.changes -= 1;
            // An answer that the log has not caught up with keeps its floor.
            if floor.changes == 0 && floor.version == floor.changed {
                self.floors.remove(&id);
            }
        }
        self.reap_answers();
    }

    pub(crate) fn forget_oldest_answer(&mut self) -> Option<Answer> {
        let answer = self.answers.pop_front()?;
        if self.floors.get(&answer.id).is_some_and(|floor| floor.changes == 0 && floor.version == answer.version) {
            self.floors.remove(&answer.id);
        }
        Some(answer)
    }

    /// Drops answers, from the oldest on, that are no longer what a floor rests on.
    fn reap_answers(&mut self) {
        while let Some(oldest) = self.answers.front() {
            let rests = |floor: &Floor| floor.version == oldest.version && floor.changed < oldest.version;
            if self.floors.get(&oldest.id).is_some_and(rests) {
                return;
            }
            self.answers.pop_front();
        }
    }
}

impl Hash for Memory {
    /// The floors are hashed each for itself and added up, since a map has no order.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let floors = self.floors.iter().fold(0_u64, |sum, floor| sum.wrapping_add(hasher.hash_one(floor)));
        floors.hash(state);
        self.changes.hash(state);
        self.answers.hash(state);
    }
}
