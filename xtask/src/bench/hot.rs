//! Rows of hot products: GET by id of a hundred products that are kept near.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::Bench;
use super::http::{counter, get, port_of};
use super::row::{Bar, Line, Row, Side, Unit};
use super::usage::cpu_microseconds;
use super::wrk::{self, Load, Wrk};

/// The products asked for.
const IDS: (u32, u32) = (1, 100);
/// Of the requests of a round, how many a cache may still have let through to the node behind it.
const MISSES_MAX: f64 = 0.01;

pub(super) const GET: Row = Row {
    name: "hot-get",
    title: "GET by id against a bare axum server",
    meaning: "`wrk` (1 thread, 32 connections) asks for 100 products in turn. Freshet: a read node with metrics, headers \
              and the look at the rate limit on, its access log off; every product is kept near. Beside it: an axum \
              server of one route that sends the same bytes under the same headers from as many threads and does \
              nothing else: what the framework, the kernel and the load generator leave to reach.",
    products: IDS.1,
    packages: &[wrk::PACKAGE],
    measure: measure_get,
};

pub(super) const NGINX: Row = Row {
    name: "hot-get-nginx",
    title: "GET by id against nginx's proxy cache",
    meaning: "The same load, on the read node itself and on nginx with a proxy cache in front of it, which answers \
              everything from that cache (as many workers as the read node has threads, no access log, connections and \
              files kept open). nginx does not know when its copy has become old; the read node does.",
    products: IDS.1,
    packages: &[wrk::PACKAGE],
    measure: measure_nginx,
};

pub(super) const REDIS: Row = Row {
    name: "hot-get-redis",
    title: "GET by id, kept near against Redis only",
    meaning: "The same load on a read node that keeps products near and on one that keeps none \
              (`FRESHET_NEAR_BYTES_MAX=0`) and answers everything from Redis.",
    products: IDS.1,
    packages: &[wrk::PACKAGE],
    measure: measure_redis,
};

pub(super) const CPU: Row = Row {
    name: "cpu",
    title: "processor time of a hot GET against a bare axum server",
    meaning: "The load of `hot-get`. User and system time of the serving process over a round, from `/proc`, divided by \
              the requests of the round. It tells what a request costs when the machine has other things to do.",
    products: IDS.1,
    packages: &[wrk::PACKAGE],
    measure: measure_cpu,
};

fn measure_get(bench: &mut Bench) -> Result<Vec<Line>> {
    let node = port_of(&bench.stack.urls().read[0])?;
    let bare = bench.start_bare(&kept_near(node)?)?;
    let line = side_by_side(bench, ("read node, near", node), ("bare axum server", bare.port))?;
    Ok(vec![Line { bar: Some(Bar::RatioAtLeast(0.85)), ..line }])
}

fn measure_nginx(bench: &mut Bench) -> Result<Vec<Line>> {
    let urls = bench.stack.urls();
    let (node, ops) = (port_of(&urls.read[0])?, port_of(&urls.read_ops[0])?);
    kept_near(node)?;
    let nginx = bench.start_nginx_cache(node)?;
    for id in IDS.0..=IDS.1 {
        get(nginx.port, &format!("/products/{id}"))?;
    }
    let wrk = Wrk::new(bench.folder())?;
    let ours = |time| wrk.run(node, IDS, time);
    let other = |time| {
        let asked = || counter(ops, "freshet_http_requests_total", "/products/{id}");
        let before = asked()?;
        let load = wrk.run(nginx.port, IDS, time)?;
        let share = (asked()? - before) / requests(load);
        ensure!(share <= MISSES_MAX, "nginx let {share:.2} of the requests through");
        Ok(load)
    };
    let rounds = bench.alternate(ours, other, rates)?;
    Ok(vec![line("read node, near", "nginx proxy cache", rounds)])
}

fn measure_redis(bench: &mut Bench) -> Result<Vec<Line>> {
    let node = port_of(&bench.stack.urls().read[0])?;
    kept_near(node)?;
    let redis_only = bench.start_read_node("read-redis-only", &[("FRESHET_NEAR_BYTES_MAX", "0")])?;
    for id in IDS.0..=IDS.1 {
        get(redis_only.port, &format!("/products/{id}"))?;
    }
    let status = get(redis_only.port, &format!("/products/{}", IDS.0))?.header("cache-status").to_owned();
    ensure!(status == "redis; hit", "the node without a near cache answers {status:?}");
    let line = side_by_side(bench, ("read node, near", node), ("read node, Redis only", redis_only.port))?;
    Ok(vec![line])
}

fn measure_cpu(bench: &mut Bench) -> Result<Vec<Line>> {
    let node = port_of(&bench.stack.urls().read[0])?;
    let bare = bench.start_bare(&kept_near(node)?)?;
    let read = bench.stack.process("read-1")?.pid();
    let wrk = Wrk::new(bench.folder())?;
    let cost = |pid: i32, port: u16, time: Duration| {
        let before = cpu_microseconds(pid)?;
        let load = wrk.run(port, IDS, time)?;
        Ok((cpu_microseconds(pid)? - before) / requests(load))
    };
    let (ours, other) = bench.alternate(
        |time| cost(read, node, time),
        |time| cost(bare.process.pid(), bare.port, time),
        |one, two| format!("{one:.2} µs beside {two:.2}"),
    )?;
    Ok(vec![Line {
        what: "processor time of one GET".to_owned(),
        unit: Unit::MicrosecondsOfCpu,
        ours: Side::new("read node, near", ours),
        other: Side::new("bare axum server", other),
        bar: None,
    }])
}

/// Asks for every product until it is kept near; the last answer.
fn kept_near(node: u16) -> Result<super::http::Answer> {
    for id in IDS.0..IDS.1 {
        get(node, &format!("/products/{id}"))?;
    }
    let path = format!("/products/{}", IDS.1);
    get(node, &path)?;
    let answer = get(node, &path)?;
    let status = answer.header("cache-status");
    ensure!(status == "near; hit", "the node answers {status:?}, not from what it keeps near");
    Ok(answer)
}

fn side_by_side(bench: &Bench, ours: (&str, u16), other: (&str, u16)) -> Result<Line> {
    let wrk = Wrk::new(bench.folder())?;
    let rounds = bench.alternate(|time| wrk.run(ours.1, IDS, time), |time| wrk.run(other.1, IDS, time), rates)?;
    Ok(line(ours.0, other.0, rounds))
}

fn rates(ours: &Load, other: &Load) -> String {
    format!("{:.0}/s beside {:.0}", ours.per_second(), other.per_second())
}

fn line(ours: &str, other: &str, rounds: (Vec<Load>, Vec<Load>)) -> Line {
    let rates = |loads: Vec<Load>| loads.into_iter().map(Load::per_second).collect();
    Line {
        what: "GET by id, 100 products".to_owned(),
        unit: Unit::RequestsPerSecond,
        ours: Side::new(ours, rates(rounds.0)),
        other: Side::new(other, rates(rounds.1)),
        bar: None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run makes 2^53 requests")]
fn requests(load: Load) -> f64 {
    load.requests as f64
}
