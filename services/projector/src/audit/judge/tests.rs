//! What is a violation, and what only looks like one.

use std::net::SocketAddr;

use catalog::Product;
use time::Duration as Span;

use super::*;
use crate::audit::record::{Earlier, Tier};

const EPOCH: Epoch = Epoch(1_700_000_000_000);
/// When the sample's first reading is made, by the primary's clock and the auditor's.
const BASE_MS: u64 = 10_000;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn moment(ms: u64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + at(ms)
}

fn version(version: i64) -> Version {
    version.try_into().expect("not negative")
}

fn product(version: i64) -> Product {
    let product = format!(
        r#"{{"id":7,"sku":"LAMP-1","name":"Lamp","description":null,"brand":null,"category":null,"image_url":null,
            "price":"{version}.00","currency":"USD","stock":4,"version":{version},
            "created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z"}}"#
    );
    serde_json::from_str(&product).expect("a product")
}

/// The primary at a time, with the product at a version.
fn reading(ms: u64, at_version: i64) -> Reading {
    Reading {
        connection: 1,
        epoch: EPOCH,
        is_settled: true,
        version: version(at_version),
        product: Some(product(at_version)),
        t: moment(ms),
        announced: Some(moment(ms - 20)),
        oldest_wait: None,
        began: at(ms - 1),
        ended: at(ms),
    }
}

fn deleted(ms: u64, at_version: i64) -> Reading {
    Reading { product: None, ..reading(ms, at_version) }
}

/// A node's answer, 500 ms after the first reading, and its `Catalog-As-Of`.
fn answer(seen: Seen, as_of_ms: u64) -> Answer {
    Answer {
        tier: Tier::Node(0),
        seen,
        claim: Claim::AsOf(Some(moment(as_of_ms))),
        earlier: None,
        cache_status: "near; hit".to_owned(),
        asked: at(BASE_MS + 499),
        answered: at(BASE_MS + 500),
    }
}

fn saw(at_version: i64, as_of_ms: u64) -> Answer {
    answer(Seen::Product(Box::new(product(at_version))), as_of_ms)
}

fn absent(as_of_ms: u64) -> Answer {
    answer(Seen::Absent(Version::ABSENT), as_of_ms)
}

fn entry(epoch: Epoch, seen: Seen) -> Answer {
    let claim = Claim::Entry { epoch, read_at: events::Position(1) };
    Answer { tier: Tier::Redis, claim, ..answer(seen, 0) }
}

fn earlier(answer: Answer, at_version: i64, as_of_ms: u64, is_gone: bool) -> Answer {
    let connection = SocketAddr::from(([127, 0, 0, 1], 9));
    let earlier = Earlier { connection, version: version(at_version), as_of: moment(as_of_ms), is_gone };
    Answer { earlier: Some(earlier), ..answer }
}

/// A log that announced a moment every 50 ms up to a second after the first reading.
fn timeline() -> Timeline {
    let mut timeline = Timeline::default();
    for ms in (BASE_MS - 2_000..BASE_MS + 1_000).step_by(50) {
        timeline.hear_heartbeat(EPOCH, moment(ms), at(ms + 2));
    }
    timeline
}

/// What is found in one answer.
fn found(readings: &[Reading], answer: Answer) -> Option<Kind> {
    match judge(readings, &[answer], &timeline()) {
        Verdict::Settled { findings, .. } => findings.first().map(|finding| finding.kind),
        Verdict::Unsettled => panic!("the sample is settled"),
    }
}

/// The product at version 3 before and after the answer.
fn steady() -> [Reading; 2] {
    [reading(BASE_MS, 3), reading(BASE_MS + 600, 3)]
}

#[test]
fn an_answer_that_promises_a_write_and_lacks_it_is_stale() {
    assert_eq!(found(&steady(), saw(2, BASE_MS + 400)), Some(Kind::Stale));
    assert_eq!(found(&steady(), absent(BASE_MS + 400)), Some(Kind::Stale));
    assert_eq!(found(&steady(), saw(3, BASE_MS + 400)), None);
}

#[test]
fn an_older_answer_that_promises_less_is_none() {
    for as_of in [BASE_MS - 50, BASE_MS, BASE_MS + 100] {
        assert_eq!(found(&steady(), saw(2, as_of)), None, "up to {as_of}");
    }
    assert_eq!(found(&steady(), saw(2, BASE_MS + 101)), Some(Kind::Stale));
    let silent = Answer { claim: Claim::AsOf(None), ..saw(2, 0) };
    assert_eq!(found(&steady(), silent), None, "no moment, no promise");
}

#[test]
fn the_newest_reading_that_is_promised_counts() {
    let changing = [reading(BASE_MS, 3), reading(BASE_MS + 200, 4), reading(BASE_MS + 600, 5)];
    assert_eq!(found(&changing, saw(3, BASE_MS + 290)), None);
    assert_eq!(found(&changing, saw(3, BASE_MS + 310)), Some(Kind::Stale));
    assert_eq!(found(&changing, saw(4, BASE_MS + 310)), None);
}

#[test]
fn a_deleted_product_that_is_still_served_is_undeleted() {
    let gone = [deleted(BASE_MS, 4), deleted(BASE_MS + 600, 4)];
    assert_eq!(found(&gone, saw(3, BASE_MS + 400)), Some(Kind::Undeleted));
    assert_eq!(found(&gone, saw(3, BASE_MS)), None, "it was not promised");
    assert_eq!(found(&gone, absent(BASE_MS + 400)), None);
    assert_eq!(found(&gone, saw(4, BASE_MS)), Some(Kind::Different), "the tombstone has no content");
}

#[test]
fn not_found_is_right_from_any_time_after_the_deletion() {
    let going = [reading(BASE_MS, 3), deleted(BASE_MS + 600, 4)];
    assert_eq!(found(&going, absent(BASE_MS + 400)), None);
    assert_eq!(found(&going, earlier(absent(BASE_MS + 400), 3, BASE_MS, false)), None);
}

#[test]
fn a_version_that_the_primary_lacks_even_afterwards_is_lost() {
    assert_eq!(found(&steady(), saw(4, BASE_MS)), Some(Kind::Lost), "whatever is promised");
    let growing = [reading(BASE_MS, 3), reading(BASE_MS + 600, 4)];
    assert_eq!(found(&growing, saw(4, BASE_MS + 400)), None);
    let coming = [reading(BASE_MS, 3), reading(BASE_MS + 600, 3), reading(BASE_MS + 5_000, 4)];
    assert_eq!(found(&coming, saw(4, BASE_MS + 400)), None, "it became visible later");
}

#[test]
fn a_commit_that_waits_for_a_replica_is_not_lost() {
    let [first, last] = steady();
    let waits = |since| Some(moment(since));
    let waiting = [first.clone(), Reading { oldest_wait: waits(BASE_MS + 450), ..last.clone() }];
    assert_eq!(found(&waiting, saw(4, BASE_MS)), None);
    let others_wait = [first, last, Reading { oldest_wait: waits(BASE_MS + 4_990), ..reading(BASE_MS + 5_000, 3) }];
    assert_eq!(found(&others_wait, saw(4, BASE_MS)), Some(Kind::Lost), "that one began after the answer");
}

#[test]
fn a_version_has_one_content() {
    let mut other = product(3);
    other.stock = 5.try_into().expect("a stock");
    let other = || Seen::Product(Box::new(other.clone()));
    assert_eq!(found(&steady(), answer(other(), BASE_MS)), Some(Kind::Different));
    assert_eq!(found(&steady(), entry(EPOCH, other())), Some(Kind::Different));
    assert_eq!(found(&steady(), answer(Seen::Malformed(version(3)), BASE_MS)), Some(Kind::Different));
    assert_eq!(found(&steady(), entry(EPOCH, Seen::Absent(version(3)))), Some(Kind::Different));
}

#[test]
fn a_node_does_not_go_back_in_one_life() {
    let growing = [reading(BASE_MS, 3), reading(BASE_MS + 600, 5)];
    assert_eq!(found(&growing, earlier(saw(4, BASE_MS), 5, BASE_MS - 100, false)), Some(Kind::Backwards));
    assert_eq!(found(&growing, earlier(absent(BASE_MS), 5, BASE_MS - 100, false)), Some(Kind::Backwards));
    assert_eq!(found(&growing, earlier(saw(4, BASE_MS), 5, BASE_MS - 100, true)), Some(Kind::Backwards));
    assert_eq!(found(&growing, earlier(saw(4, BASE_MS), 4, BASE_MS - 100, false)), None);
    assert_eq!(found(&growing, earlier(saw(4, BASE_MS), 5, 1, false)), None, "that was perhaps another epoch");
}

#[test]
fn redis_may_be_old_but_not_ahead() {
    let product = |at_version| Seen::Product(Box::new(product(at_version)));
    assert_eq!(found(&steady(), entry(EPOCH, product(1))), None);
    assert_eq!(found(&steady(), entry(EPOCH, product(3))), None);
    assert_eq!(found(&steady(), entry(EPOCH, product(4))), Some(Kind::Lost));
    assert_eq!(found(&steady(), entry(Epoch(EPOCH.0 - 1), product(4))), None, "of a lower epoch");
    assert_eq!(found(&steady(), entry(EPOCH, Seen::Absent(version(4)))), Some(Kind::Lost));
}

#[test]
fn nothing_is_said_of_a_sample_that_spans_a_restart_or_a_promotion() {
    let [first, last] = steady();
    let unsettled = |last: Reading| judge(&[first.clone(), last], &[saw(9, BASE_MS)], &timeline());
    assert_ne!(unsettled(last.clone()), Verdict::Unsettled);
    for last in [
        Reading { connection: 2, ..last.clone() },
        Reading { epoch: Epoch(EPOCH.0 + 1), ..last.clone() },
        Reading { is_settled: false, ..last.clone() },
    ] {
        assert_eq!(unsettled(last), Verdict::Unsettled);
    }
    let mut promoted = timeline();
    promoted.hear_epoch(Epoch(EPOCH.0 + 1));
    assert_eq!(judge(&steady(), &[saw(9, BASE_MS)], &promoted), Verdict::Unsettled, "this is the old primary");
}

#[test]
fn an_answer_from_before_the_epoch_is_not_held_to_it() {
    let mut begun = Timeline::default();
    begun.hear_heartbeat(Epoch(EPOCH.0 - 1), moment(BASE_MS + 450), at(BASE_MS - 100));
    for ms in (BASE_MS - 100..BASE_MS + 1_000).step_by(50) {
        begun.hear_heartbeat(EPOCH, moment(ms), at(ms));
    }
    let found = |as_of| judge(&steady(), &[saw(9, as_of)], &begun);
    let none = Verdict::Settled { findings: Vec::new(), held_to_as_of: 1 };
    assert_eq!(found(BASE_MS + 400), none, "the old primary's clock was ahead");
    assert_ne!(found(BASE_MS + 460), none);
}

#[test]
fn a_reading_counts_only_while_the_primarys_clock_is_steady() {
    let [first, last] = steady();
    let stale = |first: Reading, timeline: &Timeline| {
        let verdict = judge(&[first, last.clone()], &[saw(2, BASE_MS + 400)], timeline);
        matches!(verdict, Verdict::Settled { findings, held_to_as_of: 1 } if !findings.is_empty())
    };
    assert!(stale(first.clone(), &timeline()));
    let stepped_back = Reading { announced: Some(first.t + Span::SECOND), ..first.clone() };
    assert!(!stale(stepped_back, &timeline()), "the log has announced a later moment");
    assert!(!stale(Reading { announced: None, ..first.clone() }, &timeline()), "the log is silent");
    let mut held = timeline();
    held.hear_heartbeat(EPOCH, moment(BASE_MS), at(BASE_MS + 1_100));
    assert!(!stale(first, &held), "the log announces a moment again");
}
