//! The row of replay: how long a read node takes, from its start, until it has followed a whole horizon.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use xtask::ports;
use xtask::process::Process;
use xtask::servers::{Nats, postgres};

use super::Bench;
use super::aside::Aside;
use super::http::{get, port_of};
use super::row::{Line, Row, Side, Unit};

/// Ten minutes of 1,000 changes a second.
const CHANGES: u64 = 600_000;
/// The relay's heartbeats come every 50 ms: one for so many changes.
const CHANGES_PER_HEARTBEAT: u64 = 50;
/// In a quick run the horizon is as many times shorter as the rounds are.
const FULL_ROUND_SECONDS: u64 = 5;

pub(super) const REPLAY: Row = Row {
    name: "replay",
    title: "replay of a 10-minute horizon against a consumer that only counts",
    meaning: "A stream holds what a relay would have published in ten minutes of 1,000 changes a second: 600,000 \
              changes of 10,000 products and a heartbeat every 50 ms. Freshet: the time from the start of the process \
              `freshet-read` until its `/readyz` answers 200, which it does once it has followed all of it. Beside it: \
              the time from the start to the end of a process whose consumer, of the same kind, only counts the messages.",
    products: 1,
    packages: &[],
    measure,
};

fn measure(bench: &mut Bench) -> Result<Vec<Line>> {
    let urls = bench.stack.urls();
    let product = bench.folder().join("product.json");
    fs::write(&product, get(port_of(&urls.read[0])?, "/products/1")?.body)?;
    // The databases' own: of an older one the node would not read.
    let epoch = postgres::query(port_of(&urls.database)?, "select number from epoch")?;
    let nats = Nats::start(&bench.folder().join("nats-replay"), ports::free(1)[0])?;
    let changes = if bench.extent.seconds < FULL_ROUND_SECONDS {
        CHANGES * bench.extent.seconds / FULL_ROUND_SECONDS / 100
    } else {
        CHANGES
    };
    let horizon =
        ["--changes", &changes.to_string(), "--per-heartbeat", &CHANGES_PER_HEARTBEAT.to_string()].map(str::to_owned);
    let mut publish = vec!["publish".to_owned(), "--nats".to_owned(), nats.url(), "--epoch".to_owned(), epoch];
    publish.extend(["--product".to_owned(), product.display().to_string()].into_iter().chain(horizon));
    let published: Value = bench.load(&publish)?;
    let messages = published["messages"].to_string();
    bench.say(&format!("  {messages} messages are in the stream"));

    // Else a node that takes long would begin to serve from Postgres alone.
    let settings = [("FRESHET_NATS_URL", nats.url())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (launch, port, ops_port) = bench.read_node("read-replaying", &settings)?;
    let replayed = |_: Duration| {
        let begun = Instant::now();
        let _node = Aside { process: Process::start(launch.clone())?, port, ops_port };
        Ok(begun.elapsed().as_secs_f64())
    };
    let counted = |_: Duration| {
        let begun = Instant::now();
        bench.load::<Value>(&["count", "--nats", &nats.url(), "--messages", &messages])?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let (ours, other) = bench.alternate(replayed, counted, |ours, other| format!("{ours:.2} s beside {other:.2}"))?;
    Ok(vec![Line {
        what: format!("replay of {changes} changes"),
        unit: Unit::Seconds,
        ours: Side::new("read node, start to ready", ours),
        other: Side::new("bare consumer, start to end", other),
        bar: None,
    }])
}
