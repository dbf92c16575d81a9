//! A minute of torture: every kind of fault at least once, under writers and readers whose history is then judged.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use testkit::torture::history::Tier;
use testkit::torture::{self, Fault, Plan};

/// What a debug build on a busy machine can do.
const READS_PER_SECOND: u32 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn no_promise_is_broken_while_every_part_fails() {
    let seed = RandomState::new().hash_one("torture") % 1_000_000;
    let plan = Plan { duration: Duration::from_mins(1), seed, reads_per_second: READS_PER_SECOND };

    let report = torture::run(plan).await.unwrap();

    println!("{report}");
    assert!(report.is_good(), "a promise was broken, see above");
    assert!(Fault::ALL.iter().all(|fault| report.faults.contains_key(fault)), "{:?}", report.faults);
    for tier in [Tier::Near, Tier::Redis, Tier::Replica] {
        assert!(report.tally.tiers.contains_key(&tier), "{tier:?} took no part");
    }
    assert!(report.tally.with_token > 0 && report.reads() > 0);
}
