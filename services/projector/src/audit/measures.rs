//! The auditor's metrics.

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

use super::judge::Kind;
use super::nines::Outcome;
use super::record::Tier;

const SAMPLES: &str = "freshet_audit_samples_total";
const VIOLATIONS: &str = "freshet_audit_violations_total";
const LAG: &str = "freshet_audit_lag_seconds";
const HELD: &str = "freshet_audit_answers_held_to_as_of_total";

/// Where a change that was not seen at all is counted: above every bucket.
const NEVER_SECONDS: f64 = 60.0;

/// Says what each metric means, and shows every counter from 0.
pub(super) fn describe(tiers: impl Iterator<Item = Tier>) {
    describe_counter!(SAMPLES, "Products looked at by the auditor, by tier and by what came of it");
    describe_counter!(VIOLATIONS, "Promises that the auditor saw broken, by kind; each is logged with its history");
    describe_counter!(HELD, "Answers whose Catalog-As-Of promised what the auditor had read on the primary");
    describe_histogram!(
        LAG,
        Unit::Seconds,
        "From a sampled change to the first question whose answer showed it, by tier"
    );
    for tier in tiers {
        for result in Outcome::WORDS {
            counter!(SAMPLES, "tier" => tier.to_string(), "result" => result).absolute(0);
        }
    }
    for kind in Kind::ALL {
        counter!(VIOLATIONS, "kind" => kind.word()).absolute(0);
    }
    counter!(HELD).absolute(0);
}

pub(super) fn sampled(tier: Tier, outcome: Outcome) {
    counter!(SAMPLES, "tier" => tier.to_string(), "result" => outcome.word()).increment(1);
    match outcome {
        Outcome::Shown(lag) => histogram!(LAG, "tier" => tier.to_string()).record(lag),
        Outcome::Late => histogram!(LAG, "tier" => tier.to_string()).record(NEVER_SECONDS),
        _ => {}
    }
}

pub(super) fn held_to_as_of(answers: usize) {
    counter!(HELD).increment(answers as u64);
}

pub(super) fn violated(kind: Kind) {
    counter!(VIOLATIONS, "kind" => kind.word()).increment(1);
}
