//! The row of the memory of pages: what one more kept page costs a read node.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use xtask::demo;
use xtask::interrupt;

use super::Bench;
use super::aside::Aside;
use super::http::{counter, get};
use super::row::{Line, Row, Side, Unit};
use super::usage::resident_bytes;

/// Distinct pages that are asked for: so many that what a process takes once is nothing beside them.
const PAGES: u32 = 5_000;
/// Pages that warm the node up: its pools and buffers have their size after them.
const WARM_UP: u32 = PAGES / 10;
/// Several times what they take: none goes.
const PAGE_BYTES_MAX: &str = "1073741824";
/// Longest wait until the node has counted its pages, which it does twice a second.
const COUNTED_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(50);

pub(super) const PAGE_MEMORY: Row = Row {
    name: "page-memory",
    title: "memory of a kept page against what the node counts and its bare body",
    meaning: "A fresh read node is asked once for each of 5,000 distinct pages of the storefront of `page-hits`, nearly all \
              of 20 products: how much its resident memory grew for each page after the first tenth, with all that it \
              keeps to follow the page (rows in reserve, positions, versions). Beside it: what the node itself counts for a \
              page (`freshet_page_bytes` divided by `freshet_page_entries`), by which it keeps to `FRESHET_PAGE_BYTES_MAX`, \
              and the bytes of the page's JSON body.",
    products: 100_000,
    packages: &[],
    measure,
};

/// Bytes of one page.
#[derive(Clone, Copy)]
struct Costs {
    resident: f64,
    counted: f64,
    body: f64,
}

fn measure(bench: &mut Bench) -> Result<Vec<Line>> {
    let paths = demo::storefront(PAGES as usize);
    let mut costs = Vec::new();
    for round in 1..=bench.extent.rounds {
        let cost = measure_once(bench, &paths)?;
        bench.say(&format!(
            "  round {round}: {:.0} bytes, {:.0} of them counted, for a body of {:.0}",
            cost.resident, cost.counted, cost.body
        ));
        costs.push(cost);
    }
    let side = |name: &str, of: fn(&Costs) -> f64| Side::new(name, costs.iter().map(of).collect());
    let line = |other| Line {
        what: "a page kept".to_owned(),
        unit: Unit::Bytes,
        ours: side("resident memory of the node", |cost| cost.resident),
        other,
        bar: None,
    };
    Ok(vec![line(side("counted by the node", |cost| cost.counted)), line(side("JSON body", |cost| cost.body))])
}

fn measure_once(bench: &mut Bench, paths: &[String]) -> Result<Costs> {
    let node = bench.start_read_node("read-page-memory", &[("FRESHET_PAGE_BYTES_MAX", PAGE_BYTES_MAX)])?;
    let (first, rest) = paths.split_at(WARM_UP as usize);
    ask_for(&node, first)?;
    let before = resident_bytes(node.process.pid())?;
    let bytes = ask_for(&node, rest)?;
    let resident = resident_bytes(node.process.pid())? - before;
    let asked = f64::from(PAGES - WARM_UP);
    #[expect(clippy::cast_precision_loss, reason = "no pages here have 2^53 bytes")]
    let body = bytes as f64 / asked;
    Ok(Costs { resident: resident / asked, counted: counted(&node)? / f64::from(PAGES), body })
}

/// The bytes of the pages' bodies.
fn ask_for(node: &Aside, paths: &[String]) -> Result<usize> {
    let mut bytes = 0;
    for path in paths {
        if interrupt::is_pending() {
            bail!("interrupted");
        }
        bytes += get(node.port, path).with_context(|| format!("{path} of the storefront"))?.body.len();
    }
    Ok(bytes)
}

/// The bytes that the node counts, once it has counted every page.
fn counted(node: &Aside) -> Result<f64> {
    let begun = Instant::now();
    loop {
        let kept = counter(node.ops_port, "freshet_page_entries", "")?;
        if kept >= f64::from(PAGES) {
            return counter(node.ops_port, "freshet_page_bytes", "");
        }
        ensure!(begun.elapsed() < COUNTED_MAX, "the node keeps {kept} of {PAGES} pages");
        thread::sleep(POLL);
    }
}
