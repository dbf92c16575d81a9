//! Benchmarks: rows of ratios, each measured side by side on a stack of their own.
//!
//! Invariant: a line's two sides are measured in the same rounds, the first one changing from round to round, so that
//! whatever slows the machine for a while slows both.

mod aside;
mod bulk;
mod cold;
mod hot;
mod http;
mod machine;
mod memory;
mod miss;
mod page_memory;
mod pages;
mod patch;
mod propagation;
pub(crate) mod quality;
mod redis;
mod replay;
pub(crate) mod report;
pub(crate) mod row;
mod svg;
mod tool;
mod usage;
mod wrk;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::interrupt;
use xtask::scratch::Scratch;
use xtask::servers::postgres;
use xtask::stack::{Options, Stack};

use machine::Ticks;
use report::{Measured, Results};
use row::Row;

/// Given to every service: limits that no load here reaches, but looked at as in production, no access log, and no audit
/// beside what is measured.
const SETTINGS: [(&str, &str); 3] = [
    ("FRESHET_REQUESTS_PER_SECOND_MAX", "1000000"),
    ("FRESHET_LOG", "info,access=warn"),
    ("FRESHET_AUDIT_SAMPLES_PER_SECOND", "0"),
];

/// Of the processors' time, taken by the host of a virtual machine: a round with more is measured again, since it tells of
/// the host. It is judged by this alone, never by what came of it.
const STOLEN_MAX: f64 = 0.02;
/// Rounds measured again, for each that is wanted; past them the host is as it is.
const REPEATS_MAX: usize = 4;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) rounds: usize,
    /// Of each side in each round, where a row measures for a time.
    pub(crate) seconds: u64,
    /// At most; rows may need fewer.
    pub(crate) products_max: u32,
}

/// What the rows share.
pub(crate) struct Bench<'a> {
    pub(crate) extent: Extent,
    pub(crate) stack: Stack,
    /// Demo products in the catalogue; their ids are 1 to this.
    pub(crate) products: u32,
    pub(crate) bin_dir: PathBuf,
    say: &'a dyn Fn(&str),
    /// Rounds of the row that the host disturbed.
    disturbed: Cell<usize>,
    /// Last, so that it is removed after the stack has stopped.
    scratch: Scratch,
}

/// Segments of 16 MiB: more than any row writes.
const WAL_SEGMENTS: usize = 48;
const POLL: Duration = Duration::from_millis(50);
/// Longest wait until the replicas have replayed them.
const REPLAY_MAX: Duration = Duration::from_mins(1);
/// Longest wait until the stream holds the events of all products that were loaded: a million wait for some minutes.
const RELAY_MAX: Duration = Duration::from_mins(10);

/// Brings the databases to where servers are that have run for a while: their write-ahead log goes round in segments that
/// are there, where a new server fills each with zeros first; and nothing is left to be done in the middle of some round.
fn run_in(primary: u16, replicas: &[u16]) -> Result<()> {
    for server in [primary].iter().chain(replicas) {
        postgres::query(*server, "alter system set min_wal_size = '1GB'")?;
        postgres::query(*server, "select pg_reload_conf()")?;
    }
    for _ in 0..WAL_SEGMENTS {
        postgres::query(primary, "select pg_logical_emit_message(false, 'bench', ''), pg_switch_wal()")?;
    }
    postgres::query(primary, "vacuum analyze")?;
    // A segment that a replica still needs would not be used again.
    until_replicated(primary, replicas)?;
    for server in [primary].iter().chain(replicas) {
        postgres::query(*server, "checkpoint")?;
    }
    Ok(())
}

/// The ports of the primary and its replicas.
fn databases(stack: &Stack) -> Result<(u16, Vec<u16>)> {
    let urls = stack.urls();
    let replicas = urls.replicas.iter().map(|url| http::port_of(url)).collect::<Result<_>>()?;
    Ok((http::port_of(&urls.database)?, replicas))
}

/// Waits until the stream holds every event: one that comes late is work, and leaves no page as it is.
fn until_relayed(stack: &Stack) -> Result<()> {
    let (primary, begun) = (http::port_of(&stack.urls().database)?, Instant::now());
    while postgres::query(primary, "select exists (select from outbox)")? == "t" {
        ensure!(begun.elapsed() < RELAY_MAX, "the relay does not follow the primary");
        if interrupt::is_pending() {
            bail!("interrupted");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Waits until every replica has what the primary has now.
fn until_replicated(primary: u16, replicas: &[u16]) -> Result<()> {
    let end = postgres::query(primary, "select pg_current_wal_lsn()")?;
    for replica in replicas {
        let begun = Instant::now();
        while postgres::query(*replica, &format!("select pg_last_wal_replay_lsn() >= '{end}'"))? != "t" {
            ensure!(begun.elapsed() < REPLAY_MAX, "a replica does not follow the primary");
            thread::sleep(POLL);
        }
    }
    Ok(())
}

/// Measures `rows` one after another on one stack, those that need the fewest products first: each finds as many as it
/// needs, whatever is measured beside it.
pub(crate) fn measure(rows: &[&Row], extent: Extent, bin_dir: &Path, say: &dyn Fn(&str)) -> Result<Results> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.products);
    let service_env = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let scratch = Scratch::new("bench")?;
    let options = Options { products: 0, service_env: BTreeMap::from(service_env), ..Options::default() };
    let stack = Stack::start(options, &scratch.path().join("stack"), bin_dir, say)?;
    let mut bench =
        Bench { extent, stack, products: 0, bin_dir: bin_dir.to_owned(), say, disturbed: Cell::new(0), scratch };
    let mut results = Results::new(machine::describe()?);
    for row in rows {
        bench.grow(row.products.min(extent.products_max))?;
        bench.say(&format!("{}: {}", row.name, row.title));
        let lines = (row.measure)(&mut bench).with_context(|| format!("the row {} cannot be measured", row.name))?;
        if let Some((name, last_log_lines)) = bench.stack.dead() {
            bail!("{name} died during the row {}\n{last_log_lines}", row.name);
        }
        results
            .rows
            .insert(row.name.to_owned(), Measured::new(machine::today()?, extent, bench.disturbed.take(), lines));
    }
    bench.stack.stop()?;
    Ok(results)
}

impl Bench<'_> {
    /// Brings the catalogue to so many products, and the databases to rest.
    fn grow(&mut self, products: u32) -> Result<()> {
        if products > self.products {
            self.stack.grow(products, self.say)?;
            self.products = products;
            until_relayed(&self.stack)?;
            let (primary, replicas) = databases(&self.stack)?;
            run_in(primary, &replicas)?;
        }
        Ok(())
    }

    pub(crate) fn say(&self, what: &str) {
        (self.say)(what);
    }

    /// For files and servers of a row's own; removed at the end.
    pub(crate) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    pub(crate) const fn round(&self) -> Duration {
        Duration::from_secs(self.extent.seconds)
    }

    /// Long enough to fill caches and pools, and for processors to settle.
    pub(crate) const fn warm_up(&self) -> Duration {
        Duration::from_secs(if self.extent.seconds < 2 { 1 } else { 2 })
    }

    /// Runs both sides by turns: once to warm up, unrecorded, then in every round. `told` says what a round gave. A round
    /// that the machine's host disturbed is told of and measured again.
    pub(crate) fn alternate<A, B>(
        &self,
        mut ours: impl FnMut(Duration) -> Result<A>,
        mut other: impl FnMut(Duration) -> Result<B>,
        told: impl Fn(&A, &B) -> String,
    ) -> Result<(Vec<A>, Vec<B>)> {
        ours(self.warm_up())?;
        other(self.warm_up())?;
        let (mut all_ours, mut all_other) = (Vec::new(), Vec::new());
        let mut repeats = REPEATS_MAX * self.extent.rounds;
        while all_ours.len() < self.extent.rounds {
            let round = all_ours.len() + 1;
            let begun = Ticks::now()?;
            let (one, two) = if round % 2 == 1 {
                let one = ours(self.round())?;
                (one, other(self.round())?)
            } else {
                let two = other(self.round())?;
                (ours(self.round())?, two)
            };
            let stolen = Ticks::now()?.stolen_since(begun);
            self.say(&format!("  round {round}: {}", told(&one, &two)));
            if interrupt::is_pending() {
                bail!("interrupted");
            }
            if stolen > STOLEN_MAX {
                self.say(&format!("  the host took {:.1} % of the processors' time", stolen * 100.0));
                self.disturbed.set(self.disturbed.get() + 1);
                if repeats > 0 {
                    repeats -= 1;
                    continue;
                }
            }
            all_ours.push(one);
            all_other.push(two);
        }
        Ok((all_ours, all_other))
    }
}
