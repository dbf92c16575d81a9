//! The row of propagation: from a patch to its being visible on every read node.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::Bench;
use super::http::{get, port_of};
use super::row::{Bar, Line, Row, Side, Unit};
use super::tool::Quantiles;

/// The products that are patched, chosen evenly.
const PRODUCTS: u32 = 10_000;
/// Patches a second, sent on time whether or not the last ones were answered.
const RATES: [u32; 3] = [100, 1_000, 3_000];
/// The rate for which bars are stated.
const RATE_OF_BARS: u32 = 1_000;
/// Of 99 in a hundred patches.
const VISIBLE_MS_MAX: f64 = 10.0;
/// Of what the bare side reaches: a rate that was not kept proves nothing about the times at it.
const REACHED_MIN: f64 = 0.98;
/// After so long at the rate of the bars most products were patched: their pages stand in the write-ahead log since the last
/// checkpoint, as they do for most of the time between two.
const TOUCHED_AFTER: Duration = Duration::from_secs(20);
/// Patches a second that are watched on every read node: enough for a percentile, few beside the load.
const WATCHED_PER_SECOND: u32 = 50;

pub(super) const PROPAGATION: Row = Row {
    name: "propagation",
    title: "from a commit to its being visible on every read node, against bare NATS and Redis",
    meaning: "Patches of 10,000 products, chosen evenly, every second one a price and the others a stock, are sent to \
              the write service over 64 kept connections at a fixed schedule (open loop: a late answer delays no other \
              patch while a connection is free). Of some 50 a second, chosen at random, every read node is asked over a \
              connection of its own, again and again, until it answers that version or a later one; the slowest node \
              counts. The time includes the polling itself. \
              *From the change* begins at the event's own time, read from the primary's clock inside the transaction, \
              so it also includes the end of the transaction and its flush to disk; *from the answer* begins when the \
              writer has its 200. The commit lies between the two. Beside it, at the same rate: a message as long as an \
              event, from its publishing to JetStream until a consumer has received it and Redis has confirmed a `SET` \
              of it. The bar is put to the longer of the two times. \
              Before the first round the patches run for 20 s, so that pages are not logged as wholes any more, as they are \
              once after each checkpoint; the databases make one every 15 minutes (`checkpoint_timeout`), and pack such \
              pages (`wal_compression`).",
    products: PRODUCTS,
    packages: &[],
    measure,
};

/// What the load generator prints for patches.
#[derive(Debug, Deserialize)]
struct Patches {
    per_second: f64,
    /// Refused; not among those that were reached.
    failed: u64,
    /// What the first of them was told.
    failure: Option<String>,
    from_change: Quantiles,
    from_answer: Quantiles,
}

/// What it prints for bare messages.
#[derive(Debug, Deserialize)]
struct Messages {
    per_second: f64,
    latency: Quantiles,
}

fn measure(bench: &mut Bench) -> Result<Vec<Line>> {
    let urls = bench.stack.urls();
    let products = bench.products.min(PRODUCTS);
    for url in &urls.read {
        keep_near(port_of(url)?, products)?;
    }
    let bytes = event_bytes(port_of(&urls.read[0])?)?.to_string();
    let (products, read) = (products.to_string(), urls.read.join(","));
    let patch = ["patch", "--write", &urls.write[0], "--read", &read, "--products", &products];
    bench.load::<Patches>(&scheduled(&patch, RATE_OF_BARS, TOUCHED_AFTER))?;
    let mut lines = Vec::new();
    for rate in RATES {
        bench.say(&format!("  {rate} a second"));
        let at = |command: &[&str], time: Duration| scheduled(command, rate, time);
        let (ours, other) = bench.alternate(
            |time| bench.load(&at(&patch, time)),
            |time| bench.load(&at(&["relay", "--nats", &urls.nats, "--redis", &urls.redis, "--bytes", &bytes], time)),
            |ours: &Patches, other: &Messages| {
                let (reached, change, answer) = (ours.per_second, ours.from_change, ours.from_answer);
                let told = format!("{reached:.0}/s, from the change {change}, from the answer {answer}");
                format!("{told} beside {:.0}/s, {}", other.per_second, other.latency)
            },
        )?;
        for round in ours.iter().filter(|round| round.failed > 0) {
            bench.say(&format!(
                "  {} patches were refused: {}",
                round.failed,
                round.failure.as_deref().unwrap_or_default()
            ));
        }
        lines.extend(lines_of(rate, &ours, &other));
    }
    Ok(lines)
}

/// The arguments of a load at this rate for this time.
fn scheduled(command: &[&str], rate: u32, time: Duration) -> Vec<String> {
    let schedule =
        [format!("--rate={rate}"), format!("--seconds={}", time.as_secs()), format!("--watched={WATCHED_PER_SECOND}")];
    command.iter().map(ToString::to_string).chain(schedule).collect()
}

fn lines_of(rate: u32, patches: &[Patches], messages: &[Messages]) -> Vec<Line> {
    let ours = |of: fn(&Patches) -> f64| Side::new("Freshet", patches.iter().map(of).collect());
    let other = |of: fn(&Messages) -> f64| Side::new("bare NATS and Redis", messages.iter().map(of).collect());
    let line = |what: &str, unit, ours, other| Line {
        what: format!("{what} at {rate} changes a second"),
        unit,
        ours,
        other,
        bar: None,
    };
    let bar = |bar| (rate == RATE_OF_BARS).then_some(bar);
    let reached = line("reached", Unit::ChangesPerSecond, ours(|at| at.per_second), other(|at| at.per_second));
    let p99 =
        line("p99 from the change", Unit::Milliseconds, ours(|at| at.from_change.p99), other(|at| at.latency.p99));
    vec![
        Line { bar: bar(Bar::RatioAtLeast(REACHED_MIN)), ..reached },
        line("p50 from the answer", Unit::Milliseconds, ours(|at| at.from_answer.p50), other(|at| at.latency.p50)),
        line("p99 from the answer", Unit::Milliseconds, ours(|at| at.from_answer.p99), other(|at| at.latency.p99)),
        line("p50 from the change", Unit::Milliseconds, ours(|at| at.from_change.p50), other(|at| at.latency.p50)),
        Line { bar: bar(Bar::OursAtMost(VISIBLE_MS_MAX)), ..p99 },
    ]
}

/// Asks a node for all of them, so that each event finds its product near.
fn keep_near(node: u16, products: u32) -> Result<()> {
    for first in (1..=products).step_by(100) {
        let ids = (first..=products.min(first + 99)).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        get(node, &format!("/products?ids={ids}"))?;
    }
    Ok(())
}

/// About as long as the event of a demo product: its body, and an envelope of some 500 bytes with what was before.
fn event_bytes(node: u16) -> Result<usize> {
    Ok(get(node, "/products/1")?.body.len() + 500)
}
