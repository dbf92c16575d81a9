//! What is said of a broken promise: one event with the product's recent history. It names versions, times and tiers, never
//! what a product contains.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::judge::Finding;
use super::record::{Answer, Change, Claim, Earlier, Reading, Seen};
use super::sample::Sample;

/// The last answers of each tier that are told, beside the one that broke the promise.
const ANSWERS_MAX: usize = 5;

/// Everything that helps to see how it came about.
pub(super) fn report(sample: &Sample, finding: Finding, node: Option<&str>, history: &[Change]) -> Value {
    let broken = &sample.answers[finding.answer];
    json!({
        "kind": finding.kind.word(),
        "product": sample.subject.id,
        "tier": broken.tier.to_string(),
        "node": node,
        "answer": answer(broken),
        "primary": sample.readings.iter().map(reading).collect::<Vec<_>>(),
        "answers": last_of_each_tier(&sample.answers).map(answer).collect::<Vec<_>>(),
        "events": history.iter().map(change).collect::<Vec<_>>(),
    })
}

fn last_of_each_tier(answers: &[Answer]) -> impl Iterator<Item = &Answer> {
    // Those of one tier stand together, in their order.
    answers.chunk_by(|one, next| one.tier == next.tier).flat_map(|tier| {
        let before = tier.len().saturating_sub(ANSWERS_MAX);
        &tier[before..]
    })
}

fn answer(answer: &Answer) -> Value {
    let (what, version) = match &answer.seen {
        Seen::Product(product) => ("product", product.version),
        Seen::Absent(version) => ("absent", *version),
        Seen::Malformed(version) => ("malformed", *version),
    };
    let mut told = json!({
        "tier": answer.tier.to_string(),
        "what": what,
        "version": version,
        "asked_s": answer.asked.as_secs_f64(),
        "answered_s": answer.answered.as_secs_f64(),
    });
    match &answer.claim {
        Claim::AsOf(as_of) => {
            told["as_of"] = json!(as_of.map(text));
            told["cache_status"] = json!(answer.cache_status);
        }
        Claim::Entry { epoch, read_at } => {
            told["epoch"] = json!(epoch);
            told["read_at"] = json!(read_at);
        }
    }
    if let Some(Earlier { version, as_of, is_gone, .. }) = answer.earlier {
        told["earlier"] = json!({ "version": version, "as_of": text(as_of), "gone_since": is_gone });
    }
    told
}

fn reading(reading: &Reading) -> Value {
    json!({
        "epoch": reading.epoch,
        "version": reading.version,
        "is_deleted": reading.product.is_none(),
        "t": text(reading.t),
        "announced": reading.announced.map(text),
        "began_s": reading.began.as_secs_f64(),
        "ended_s": reading.ended.as_secs_f64(),
    })
}

fn change(change: &Change) -> Value {
    json!({
        "kind": change.kind.word(),
        "epoch": change.epoch,
        "version": change.version,
        "position": change.position,
        "time": text(change.time),
        "heard_s": change.heard.as_secs_f64(),
    })
}

fn text(t: OffsetDateTime) -> String {
    t.format(&Rfc3339).unwrap_or_default()
}
