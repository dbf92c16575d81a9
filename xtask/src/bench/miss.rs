//! The row of the miss path: every GET is a look into Redis, two statements on the replica, and a write to Redis.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xtask::servers::postgres;

use super::aside::Aside;
use super::http::{counter, port_of};
use super::row::{Line, Row, Side, Unit};
use super::wrk::{self, CONNECTIONS, Wrk};
use super::{Bench, redis, tool};

/// More than a round asks for.
const PRODUCTS: u32 = 100_000;
/// Of the requests of a round, how many may have been answered by something else than the replica.
const HITS_MAX: f64 = 0.01;
/// What pgbench runs: the columns that an answer is made of, by primary key.
const SELECT: &str = "\
\\set id random(1, @PRODUCTS@)
select id, sku, name, description, brand, category, image_url, price, currency, stock, version, created_at, updated_at \
from products where id = :id;
";

pub(super) const MISS: Row = Row {
    name: "miss",
    title: "a GET that only the replica can answer, against pgbench",
    meaning: "`wrk` (1 thread, 32 connections) asks for products that were not asked for before, of a read node that \
              keeps nothing near, with an empty Redis: each GET looks into Redis, reads the replica's position and the \
              row, checks both against the log, and puts the answer into Redis. Beside it: `pgbench -M prepared` \
              (1 thread, 32 connections) selecting the same columns by primary key from the same replica.",
    products: PRODUCTS,
    packages: &[wrk::PACKAGE],
    measure,
};

fn measure(bench: &mut Bench) -> Result<Vec<Line>> {
    let redis = port_of(&bench.stack.urls().redis)?;
    let replica = bench.stack.urls().replicas.first().cloned().context("the stack has no replica")?;
    let node = bench.start_read_node("read-missing", &[("FRESHET_NEAR_BYTES_MAX", "0")])?;
    let script = bench.folder().join("select.sql");
    fs::write(&script, SELECT.replace("@PRODUCTS@", &bench.products.to_string()))?;
    let wrk = Wrk::new(bench.folder())?;
    let products = bench.products;
    let (ours, other) = bench.alternate(
        |time| missing(&node, redis, &wrk, products, time),
        |time| {
            let mut pgbench = Command::new(postgres::program("pgbench")?);
            pgbench.args([
                "--no-vacuum",
                "--protocol",
                "prepared",
                "--jobs",
                "1",
                "--client",
                &CONNECTIONS.to_string(),
            ]);
            pgbench.args(["--time", &time.as_secs().to_string(), "--file"]).arg(&script).arg(&replica);
            transactions_per_second(&tool::output(&mut pgbench)?)
        },
        |ours, other| format!("{ours:.0}/s beside {other:.0}"),
    )?;
    Ok(vec![Line {
        what: "GET by id, each another product".to_owned(),
        unit: Unit::RequestsPerSecond,
        ours: Side::new("read node, from the replica", ours),
        other: Side::new("pgbench, by primary key", other),
        bar: None,
    }])
}

/// A round of misses, checked to be such.
fn missing(node: &Aside, redis: u16, wrk: &Wrk, products: u32, time: Duration) -> Result<f64> {
    redis::ask(redis, &["FLUSHALL"])?;
    let hits = || counter(node.ops_port, "freshet_cache_requests_total", "result=\"hit\"");
    let before = hits()?;
    let load = wrk.run(node.port, (1, products), time)?;
    #[expect(clippy::cast_precision_loss, reason = "no run makes 2^53 requests")]
    let share = (hits()? - before) / load.requests as f64;
    ensure!(share <= HITS_MAX, "{share:.2} of {} requests were hits; more products are needed", load.requests);
    Ok(load.per_second())
}

pub(super) fn transactions_per_second(printed: &str) -> Result<f64> {
    let rate = printed.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench printed no rate:\n{printed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_pgbench_is_read() {
        let printed = "number of failed transactions: 0 (0.000%)\nlatency average = 1.1 ms\n\
                       initial connection time = 9.3 ms\ntps = 13310.75 (without initial connection time)\n";
        assert!((transactions_per_second(printed).expect("a rate") - 13_310.75).abs() < 1e-9);
        assert!(transactions_per_second("").is_err());
    }
}
