//! The checker passes good histories, and names what was planted in them.

use proptest::prelude::*;

use super::good::good_history;
use super::{Rule, check};
use crate::torture::history::{Asked, History, Key, Mark, Moment, Outcome, Read, Settled, Write};

/// Later than everything in a history.
const LATER: u32 = 10_000_000;
/// A product that no good history has.
const OTHER: Key = 99;
/// More than a good history ever makes.
const NEVER: u32 = 1_000_000;
/// Each fault is planted into this many histories.
const SEEDS: u64 = 50;

/// Plants a fault into many good histories, and sees that it is called by its name and nothing else is.
#[track_caller]
fn is_rejected(rule: Rule, plant: impl Fn(&mut History) -> Option<()>) {
    let mut planted = 0;
    for seed in 0..SEEDS {
        let mut history = good_history(seed);
        if plant(&mut history).is_none() {
            continue;
        }
        planted += 1;
        let verdict = check(&history);
        let found: Vec<&Rule> = verdict.counts.keys().collect();
        assert_eq!(found, [&rule], "seed {seed}: {:#?}", verdict.violations);
    }
    assert!(planted > SEEDS / 2, "only {planted} histories had room for the fault");
}

/// The same, and sees that nothing is found.
#[track_caller]
fn is_accepted(plant: impl Fn(&mut History) -> Option<()>) {
    for seed in 0..SEEDS {
        let mut history = good_history(seed);
        plant(&mut history).expect("room in every history");
        let verdict = check(&history);
        assert!(verdict.is_good(), "seed {seed}: {:#?}", verdict.violations);
    }
}

fn acked(write: &Write) -> Option<u32> {
    match write.outcome {
        Outcome::Acknowledged { version, .. } => Some(version),
        _ => None,
    }
}

/// A read that found a product, through the gateway and without any promise.
fn plain_read(history: &History) -> Option<Read> {
    let read = history.reads.iter().find(|read| read.mark != Mark::ABSENT)?;
    Some(Read { node: 0, required: 0, token_at: Moment(0), as_of: Moment(0), ..*read })
}

/// Two reads of a product on one life of a node, with something newer in the second.
fn two_reads(history: &History) -> Option<(Read, Read)> {
    let reads = &history.reads;
    reads.iter().find_map(|newer| {
        let older = reads.iter().find(|older| {
            (older.key, older.node, older.life) == (newer.key, newer.node, newer.life)
                && older.mark != Mark::ABSENT
                && newer.mark != Mark::ABSENT
                && older.version < newer.version
        })?;
        Some((*older, *newer))
    })
}

fn later(read: Read) -> Read {
    Read { start: Moment(LATER), end: Moment(LATER + 1), required: 0, token_at: Moment(0), as_of: Moment(0), ..read }
}

proptest! {
    #[test]
    fn a_good_history_is_accepted(seed: u64) {
        let verdict = check(&good_history(seed));
        prop_assert!(verdict.is_good(), "{:#?}", verdict.violations);
    }
}

#[test]
fn good_histories_hold_what_the_rules_are_about() {
    let history = good_history(7);
    let reads = |is: fn(&Read) -> bool| history.reads.iter().filter(|read| is(read)).count();
    assert!(reads(|read| read.required > 0) > 10 && reads(|read| read.as_of > Moment(0)) > 10);
    assert!(history.writes.iter().any(|write| write.outcome == Outcome::Unknown));
    assert!(history.writes.iter().any(|write| write.outcome == Outcome::Refused));
    assert!(check(&history).staleness.stale_reads > 0);
}

#[test]
fn a_lost_write_is_named() {
    is_rejected(Rule::LostWrite, |history| {
        // The primary is back where the product was created, and everyone agrees.
        let row = *history.primary.iter().find(|row| row.mark != Mark::ABSENT && row.version > 1)?;
        let created = history.writes.iter().find(|write| write.key == Some(row.key))?.mark;
        let was = Settled { version: 1, mark: created, ..row };
        let seen = history.nodes.iter_mut().map(|(_, seen)| seen);
        seen.chain(&mut history.primary).filter(|seen| seen.key == row.key).for_each(|seen| *seen = was);
        Some(())
    });
    is_rejected(Rule::LostWrite, |history| {
        let key = history.primary.pop()?.key;
        history.nodes.retain(|(_, seen)| seen.key != key);
        Some(())
    });
}

#[test]
fn a_read_that_lacks_what_its_token_names_is_named() {
    is_rejected(Rule::StaleWithToken, |history| {
        let read = plain_read(history)?;
        history.reads.push(Read { required: read.version + 1, ..read });
        Some(())
    });
    is_rejected(Rule::StaleWithToken, |history| {
        let is_deleted = |key| history.writes.iter().any(|write| write.key == Some(key) && write.mark == Mark::ABSENT);
        let key = (1..=4).find(|key| !is_deleted(*key))?;
        let read = plain_read(history)?;
        history.reads.push(Read { key, version: 0, mark: Mark::ABSENT, digest: 0, required: 1, ..read });
        Some(())
    });
}

#[test]
fn a_read_that_lacks_what_was_acknowledged_before_the_write_of_its_token_is_named() {
    is_rejected(Rule::StaleWithToken, |history| {
        let read = plain_read(history)?;
        let is_newer = |write: &&Write| write.key == Some(read.key) && acked(write) > Some(read.version);
        let acked_at = history.writes.iter().filter(is_newer).map(|write| write.end).min()?;
        history.reads.push(Read { token_at: Moment(acked_at.0 + 1), ..read });
        Some(())
    });
}

#[test]
fn a_node_that_does_not_answer_at_the_end_is_named() {
    is_rejected(Rule::NotConverged, |history| {
        let (_, seen) = history.nodes.first_mut()?;
        *seen = Settled::unanswered(seen.key);
        Some(())
    });
}

#[test]
fn a_primary_that_has_lost_its_table_is_named() {
    is_rejected(Rule::LostWrite, |history| {
        history.primary.clear();
        Some(())
    });
}

#[test]
fn a_read_older_than_its_as_of_is_named() {
    is_rejected(Rule::OlderThanAsOf, |history| {
        let read = plain_read(history)?;
        let is_newer = |write: &&Write| write.key == Some(read.key) && acked(write) > Some(read.version);
        let acked_at = history.writes.iter().filter(is_newer).map(|write| write.end).min()?;
        history.reads.push(Read { as_of: Moment(acked_at.0 + 1), ..read });
        Some(())
    });
}

#[test]
fn a_write_answered_at_the_very_moment_need_not_be_included() {
    is_accepted(|history| {
        let read = plain_read(history)?;
        let is_newer = |write: &&Write| write.key == Some(read.key) && acked(write) > Some(read.version);
        let acked_at = history.writes.iter().filter(is_newer).map(|write| write.end).min();
        history.reads.push(Read { as_of: acked_at.unwrap_or_default(), ..read });
        Some(())
    });
}

#[test]
fn a_step_back_on_one_node_is_named_and_one_after_its_restart_is_not() {
    is_rejected(Rule::Backwards, |history| {
        let (older, newer) = two_reads(history)?;
        history.reads.push(later(Read { node: newer.node, life: newer.life, ..older }));
        Some(())
    });
    is_accepted(|history| {
        let (older, _) = two_reads(history)?;
        history.reads.push(later(Read { life: 250, ..older }));
        history.reads.push(later(Read { life: 0, ..older }));
        history.reads.push(later(Read { node: 0, ..older }));
        Some(())
    });
}

/// A product whose deletion got no answer, seen on one node, then not there by one kind of question, then there again.
fn there_again(history: &mut History, asked: Asked) -> Option<()> {
    three_writes(history, [version(1), version(2), version(3)], (3, 2));
    let (start, end, outcome) = (Moment(1_000), Moment(1_100), Outcome::Unknown);
    history.writes.push(Write { client: 1, key: Some(OTHER), mark: Mark::ABSENT, start, end, outcome });
    let (start, end) = (Moment(LATER - 9), Moment(LATER - 8));
    let there = Read {
        key: OTHER,
        version: 3,
        mark: Mark(NEVER + 2),
        asked: Asked::ById,
        node: 1,
        life: 1,
        ..plain_read(history)?
    };
    let absent = Read { version: 0, mark: Mark::ABSENT, digest: 0, start, end, asked, ..there };
    history.reads.extend([Read { start: Moment(1_000), end: Moment(1_001), ..there }, absent, later(there)]);
    Some(())
}

#[test]
fn a_deleted_product_that_is_there_again_on_one_node_is_named() {
    is_rejected(Rule::Backwards, |history| there_again(history, Asked::ById));
    is_rejected(Rule::Backwards, |history| there_again(history, Asked::Ids));
}

#[test]
fn a_page_without_a_product_says_nothing_of_it() {
    is_accepted(|history| there_again(history, Asked::List));
    is_accepted(|history| there_again(history, Asked::Skus));
}

#[test]
fn what_nobody_wrote_is_named() {
    is_rejected(Rule::Phantom, |history| {
        let read = plain_read(history)?;
        history.reads.push(Read { mark: Mark(NEVER), version: NEVER, ..read });
        Some(())
    });
    is_rejected(Rule::Phantom, |history| {
        let read = plain_read(history)?;
        let refused =
            history.writes.iter().find(|write| write.outcome == Outcome::Refused && write.mark != Mark::ABSENT)?;
        history.reads.push(Read { key: refused.key?, mark: refused.mark, version: NEVER, ..later(read) });
        Some(())
    });
    is_rejected(Rule::Phantom, |history| {
        let read = plain_read(history)?;
        history.reads.push(Read { start: Moment(0), end: Moment(0), ..read });
        Some(())
    });
    is_rejected(Rule::Phantom, |history| {
        let read = plain_read(history)?;
        let other = if read.key == 1 { 2 } else { 1 };
        history.reads.push(Read { key: other, version: NEVER, ..read });
        Some(())
    });
}

#[test]
fn one_version_with_two_contents_is_named() {
    is_rejected(Rule::TwoContents, |history| {
        let read = plain_read(history)?;
        history.reads.push(Read { digest: read.digest + 1, ..read });
        Some(())
    });
    is_rejected(Rule::TwoContents, |history| {
        let (older, newer) = two_reads(history)?;
        history.reads.push(Read { version: newer.version, node: 0, ..later(older) });
        Some(())
    });
}

#[test]
fn a_write_that_made_two_versions_is_named() {
    is_rejected(Rule::AppliedTwice, |history| {
        let read = plain_read(history)?;
        history.reads.push(Read { version: NEVER, ..read });
        Some(())
    });
}

#[test]
fn a_node_that_stays_behind_is_named() {
    is_rejected(Rule::NotConverged, |history| {
        let (_, seen) = history.nodes.iter_mut().find(|(_, seen)| seen.mark != Mark::ABSENT)?;
        *seen = Settled { version: 0, mark: Mark::ABSENT, ..*seen };
        Some(())
    });
}

/// A product that was created and then written twice, the second time after the first answer.
fn three_writes(history: &mut History, outcomes: [Outcome; 3], last: (u32, usize)) {
    for (number, outcome) in (0..).zip(outcomes) {
        let (start, end) = (Moment(number * 100 + 10), Moment(number * 100 + 20));
        let mark = Mark(NEVER + number);
        history.writes.push(Write { client: 3, key: Some(OTHER), mark, start, end, outcome });
    }
    let mark = Mark(NEVER + u32::try_from(last.1).expect("one of three"));
    let row = Settled { key: OTHER, version: last.0, mark };
    history.primary.push(row);
    history.nodes.extend((1..=3).map(|node| (node, row)));
}

const fn version(version: u32) -> Outcome {
    Outcome::Acknowledged { version, digest: 0 }
}

#[test]
fn writes_numbered_against_their_order_are_named() {
    is_rejected(Rule::WritesOutOfOrder, |history| {
        three_writes(history, [version(1), version(3), version(2)], (3, 1));
        Some(())
    });
}

#[test]
fn more_versions_than_writes_are_named() {
    is_rejected(Rule::Phantom, |history| {
        three_writes(history, [version(1), Outcome::Refused, Outcome::Unknown], (3, 2));
        Some(())
    });
}

#[test]
fn a_write_without_an_answer_may_be_seen_or_not() {
    for last in [(1, 0), (2, 1), (2, 2), (3, 2), (3, 1)] {
        is_accepted(|history| {
            three_writes(history, [version(1), Outcome::Unknown, Outcome::Unknown], last);
            Some(())
        });
    }
}

#[test]
fn a_creation_without_an_answer_is_known_by_its_mark() {
    is_accepted(|history| {
        three_writes(history, [Outcome::Unknown, Outcome::Refused, Outcome::Refused], (1, 0));
        for write in history.writes.iter_mut().filter(|write| write.key == Some(OTHER)) {
            write.key = None;
        }
        let read = plain_read(history)?;
        history.reads.push(Read { key: OTHER, version: 1, mark: Mark(NEVER), ..read });
        Some(())
    });
}
