//! The log tail: what was heard since a while, in order, by which lists are checked.
//!
//! Whoever keeps something that was read at *R* tests it against everything from *R* on, and later against whatever came
//! since it was last tested. What was forgotten meanwhile cannot be tested: then nothing vouches for it any more.

use std::collections::VecDeque;

use events::Position;

/// Where in a tail somebody has got to: everything before it was tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    generation: u64,
    serial: u64,
}

/// Entries of one generation of the log, as many as there is room for.
#[derive(Debug)]
pub struct Tail<E> {
    bytes_max: usize,
    generation: u64,
    entries: VecDeque<Heard<E>>,
    bytes: usize,
    /// How many entries were forgotten in this generation.
    forgotten: u64,
    /// The highest position among them.
    forgotten_to: Option<Position>,
}

#[derive(Debug)]
struct Heard<E> {
    /// The highest one up to here: what is not of the log has none of its own.
    position: Position,
    bytes: usize,
    entry: E,
}

impl<E> Tail<E> {
    /// Has room for `bytes_max`.
    pub const fn new(bytes_max: usize) -> Self {
        Self { bytes_max, generation: 0, entries: VecDeque::new(), bytes: 0, forgotten: 0, forgotten_to: None }
    }

    /// Puts an entry at the end. `position` is that of a change of the log; what is none is tested by everybody who was not
    /// admitted after it. Another generation forgets everything before, and no [`Mark`] of it is worth anything.
    pub fn push(&mut self, generation: u64, position: Option<Position>, entry: E, bytes: usize) {
        self.begin(generation);
        let last = self.entries.back().map(|last| last.position).or(self.forgotten_to).unwrap_or_default();
        self.entries.push_back(Heard { position: position.unwrap_or_default().max(last), bytes, entry });
        self.bytes += bytes;
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.bytes;
            self.forgotten += 1;
            self.forgotten_to = Some(oldest.position);
        }
    }

    /// Takes note of the log's generation.
    pub fn begin(&mut self, generation: u64) {
        if generation != self.generation {
            *self = Self { generation, ..Self::new(self.bytes_max) };
        }
    }

    /// Where somebody begins who has read at `read_at` what the log admitted when everything before `admitted` had been
    /// heard: every change strictly below the position was in it. `None` if something that may not have been is forgotten.
    pub fn mark_of(&self, read_at: Position, admitted: Mark) -> Option<Mark> {
        // Strictly: a change at this very position need not have been visible yet.
        let is_forgotten = self.forgotten_to.is_some_and(|forgotten| forgotten >= read_at);
        if is_forgotten || admitted.generation != self.generation {
            return None;
        }
        let within = self.entries.partition_point(|heard| heard.position < read_at) as u64;
        Some(Mark { generation: self.generation, serial: admitted.serial.min(self.forgotten + within) })
    }

    /// Where everybody is who has tested everything.
    pub fn end(&self) -> Mark {
        Mark { generation: self.generation, serial: self.forgotten + self.entries.len() as u64 }
    }

    /// What came since, in order, each with the mark of who has tested it; `None` if not all of it is remembered.
    pub fn since(&self, mark: Mark) -> Option<impl DoubleEndedIterator<Item = (Mark, &E)> + Clone> {
        if mark.generation != self.generation {
            return None;
        }
        let passed = usize::try_from(mark.serial.checked_sub(self.forgotten)?).ok()?;
        let passed = passed.min(self.entries.len());
        let mark_after = move |at: usize| Mark { serial: self.forgotten + (passed + at) as u64 + 1, ..mark };
        Some(self.entries.range(passed..).enumerate().map(move |(at, heard)| (mark_after(at), &heard.entry)))
    }

    /// How many entries are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that are used, as they were counted by who pushed them.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(positions: &[u64]) -> Tail<u64> {
        let mut tail = Tail::new(100);
        for position in positions {
            tail.push(1, Some(Position(*position)), *position, 10);
        }
        tail
    }

    fn since(tail: &Tail<u64>, mark: Option<Mark>) -> Option<Vec<u64>> {
        Some(tail.since(mark?)?.map(|(_, entry)| *entry).collect())
    }

    #[test]
    fn what_is_strictly_below_r_needs_no_test_and_what_is_at_it_does() {
        let tail = tail(&[10, 20, 20, 30]);
        assert_eq!(since(&tail, tail.mark_of(Position(20), tail.end())), Some(vec![20, 20, 30]));
        assert_eq!(since(&tail, tail.mark_of(Position(21), tail.end())), Some(vec![30]));
        assert_eq!(since(&tail, tail.mark_of(Position(99), tail.end())), Some(vec![]));
    }

    #[test]
    fn only_what_came_since_is_tested_again() {
        let mut tail = tail(&[10, 20]);
        let mark = tail.end();
        assert_eq!(since(&tail, Some(mark)), Some(vec![]));
        tail.push(1, Some(Position(30)), 30, 10);
        assert_eq!(since(&tail, Some(mark)), Some(vec![30]));
        assert_ne!(tail.end(), mark);
        assert_eq!(tail.since(mark).and_then(|mut since| since.next()).map(|(mark, _)| mark), Some(tail.end()));
    }

    #[test]
    fn what_has_no_position_is_tested_by_all_that_were_admitted_before_it() {
        let mut tail = tail(&[10]);
        let admitted = tail.end();
        tail.push(1, None, 7, 10);
        assert_eq!(since(&tail, tail.mark_of(Position(99), admitted)), Some(vec![7]));
        assert_eq!(since(&tail, tail.mark_of(Position(99), tail.end())), Some(vec![]));
    }

    #[test]
    fn nothing_vouches_for_what_would_have_to_be_tested_against_something_forgotten() {
        let positions: Vec<u64> = (1..=12).map(|number| number * 10).collect();
        let tail = tail(&positions);
        assert_eq!((tail.len(), tail.bytes()), (10, 100));
        assert_eq!(tail.mark_of(Position(20), tail.end()), None);
        assert_eq!(since(&tail, tail.mark_of(Position(21), tail.end())).map(|entries| entries.len()), Some(10));
        let begun = Mark { generation: 1, serial: 1 };
        assert!(tail.since(begun).is_none());
    }

    #[test]
    fn another_generation_vouches_for_nothing_of_the_last_one() {
        let mut tail = tail(&[10, 20]);
        let mark = tail.end();
        tail.begin(2);
        assert!(tail.since(mark).is_none() && tail.is_empty());
        assert_eq!(tail.mark_of(Position(99), mark), None);
        tail.push(2, Some(Position(5)), 5, 10);
        assert_eq!(since(&tail, tail.mark_of(Position(5), tail.end())), Some(vec![5]));
    }
}
