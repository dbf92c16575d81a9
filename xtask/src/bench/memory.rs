//! The row of memory: what one more cached product costs a read node, and Redis.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::interrupt;

use super::aside::Aside;
use super::http::{get, port_of};
use super::row::{Line, Row, Side, Unit};
use super::usage::resident_bytes;
use super::{Bench, redis};

/// So many that what a process takes once is nothing beside them.
const PRODUCTS: u32 = 100_000;
/// Asked for in one request: the most that the API takes.
const AT_ONCE: u32 = 100;
/// Products that warm the node up: its pools and buffers have their size after them.
const WARM_UP_SHARE: u32 = 10;
/// As long as the read nodes keep an entry in Redis by default.
const TTL_SECONDS: u32 = 3600;

pub(super) const MEMORY: Row = Row {
    name: "memory",
    title: "memory of a cached product against its bare body",
    meaning: "A fresh read node is asked for every product of the catalogue once. Near: how much its resident memory \
              grew for each product after the first tenth, beside the bytes of the product's JSON body. Redis: how much \
              `used_memory` grew for each entry that the node put there, beside the same bodies under the same keys by \
              plain `SET … EX`.",
    products: PRODUCTS,
    packages: &[],
    measure,
};

/// Bytes of one product, in each of the four forms.
#[derive(Clone, Copy)]
struct Costs {
    near: f64,
    body: f64,
    redis: f64,
    redis_bare: f64,
}

fn measure(bench: &mut Bench) -> Result<Vec<Line>> {
    let mut costs = Vec::new();
    for round in 1..=bench.extent.rounds {
        ensure!(!interrupt::is_pending(), "interrupted");
        let cost = measure_once(bench)?;
        bench.say(&format!(
            "  round {round}: near {:.0} bytes for a body of {:.0}, Redis {:.0} beside {:.0}",
            cost.near, cost.body, cost.redis, cost.redis_bare
        ));
        costs.push(cost);
    }
    let rounds = |of: fn(&Costs) -> f64| costs.iter().map(of).collect();
    let line = |what: &str, ours, other| Line { what: what.to_owned(), unit: Unit::Bytes, ours, other, bar: None };
    Ok(vec![
        line(
            "a product kept near",
            Side::new("resident memory of the node", rounds(|cost| cost.near)),
            Side::new("JSON body", rounds(|cost| cost.body)),
        ),
        line(
            "a product in Redis",
            Side::new("entry of a read node", rounds(|cost| cost.redis)),
            Side::new("plain SET of the body", rounds(|cost| cost.redis_bare)),
        ),
    ])
}

fn measure_once(bench: &mut Bench) -> Result<Costs> {
    let redis = port_of(&bench.stack.urls().redis)?;
    let products = bench.products;
    redis::ask(redis, &["FLUSHALL"])?;
    let empty = redis::used_bytes(redis)?;
    let node = bench.start_read_node("read-memory", &[])?;
    let warm_up = products / WARM_UP_SHARE;
    let mut entries = ask_for(&node, 1, warm_up)?;
    let before = resident_bytes(node.process.pid())?;
    entries.extend(ask_for(&node, warm_up + 1, products)?);
    let near = (resident_bytes(node.process.pid())? - before) / f64::from(products - warm_up);
    let held: u32 = redis::ask(redis, &["DBSIZE"])?.parse()?;
    ensure!(held == products, "Redis holds {held} entries, not {products}");
    let in_redis = (redis::used_bytes(redis)? - empty) / f64::from(products);

    redis::ask(redis, &["FLUSHALL"])?;
    let empty = redis::used_bytes(redis)?;
    redis::set_all(redis, &entries, TTL_SECONDS)?;
    let redis_bare = (redis::used_bytes(redis)? - empty) / f64::from(products);
    redis::ask(redis, &["FLUSHALL"])?;
    let bytes: usize = entries.iter().map(|(_, body)| body.len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "no catalogue here has 2^53 bytes")]
    let body = bytes as f64 / f64::from(products);
    Ok(Costs { near, body, redis: in_redis, redis_bare })
}

/// The keys in Redis and the bodies of the products from `first` to `last`, as the node answers them.
fn ask_for(node: &Aside, first: u32, last: u32) -> Result<Vec<(String, String)>> {
    let ids: Vec<u32> = (first..=last).collect();
    let mut entries = Vec::new();
    for ids in ids.chunks(AT_ONCE as usize) {
        let asked = ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let answer: Value = serde_json::from_str(&get(node.port, &format!("/products?ids={asked}"))?.body)?;
        let items = answer["items"].as_array().context("a batch has items")?;
        ensure!(items.len() == ids.len(), "{} of {} products are there", items.len(), ids.len());
        entries.extend(items.iter().map(|item| (format!("freshet:product:{{{}}}", item["id"]), item.to_string())));
    }
    Ok(entries)
}
