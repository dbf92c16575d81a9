//! What is told of many times: how long half of them were at most, and all but one in a hundred.

use std::time::Duration;

use serde_json::{Value, json};

/// As milliseconds. By nearest rank: a time that was measured, never one between two.
pub(crate) fn quantiles(mut times: Vec<Duration>) -> Value {
    times.sort_unstable();
    let rank = |hundredths: usize| {
        let rank = (times.len() * hundredths).div_ceil(100).max(1);
        times.get(rank - 1).map(|time| time.as_secs_f64() * 1_000.0)
    };
    json!({ "p50": rank(50), "p99": rank(99), "max": rank(100), "count": times.len() })
}
