//! Rows of pages: lists and searches as a storefront asks for them, while prices and stocks change.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use xtask::demo;
use xtask::interrupt;

use super::aside::Aside;
use super::http::{Answer, get, port_of};
use super::row::{Bar, Line, Row, Side, Unit};
use super::wrk::{self, Load, Wrk};
use super::{Bench, tool};

/// In the catalogue of the storefront.
const PRODUCTS: u32 = 100_000;
/// Distinct queries of the storefront.
const QUERIES: usize = 2_400;
/// Of the storefront, a second.
const REQUESTS: u32 = 1_000;
/// Changes a second.
const RATES: [u32; 3] = [0, 100, 1_000];
/// The rate for which the bar is stated.
const RATE_OF_BARS: u32 = 1_000;
const HITS_MIN: f64 = 0.9;
const HOT_MIN: f64 = 0.7;
/// The highest price of demo products, in dollars: changes leave prices spread as they were.
const PRICES: u32 = 300;
/// Pages checked against the primary, at least.
const CHECKED: usize = 100_000;
/// Changes are made for so long between two checks of all pages.
const STORM: Duration = Duration::from_secs(1);

pub(super) const HOT: Row = Row {
    name: "hot-page",
    title: "a hot page against a bare axum server",
    meaning: "`wrk` (1 thread, 32 connections) asks a read node for one page of 20 products, of a list and of a search, which \
              it keeps. Beside it: the bare axum server of `hot-get`, which sends the same bytes under the same headers.",
    products: 10_000,
    packages: &[wrk::PACKAGE],
    measure: measure_hot,
};

pub(super) const HITS: Row = Row {
    name: "page-hits",
    title: "pages answered without a query while prices and stocks change, against other schemes",
    meaning: "2,400 distinct queries over 100,000 products (half of them lists of a category in five orders, three in ten \
              lists of a category within a range of prices, two in ten searches for names; one list in ten is \
              counted, one has facets), asked for 1,000 times a second, \
              the n-th query n times less often than the first (Zipf). Meanwhile products chosen evenly get new prices, \
              chosen evenly among all, and new stocks. A hit is an answer without a query of a page. Beside it, from the \
              same requests: what would have been hits if every change voided every page (one generation in the key of \
              each), and if each page lived for 1 second; of the latter also how many were not what the node answered.",
    products: PRODUCTS,
    packages: &[],
    measure: measure_hits,
};

pub(super) const TRUTH: Row = Row {
    name: "page-truth",
    title: "kept pages against the same pages read from the primary",
    meaning: "The queries of `page-hits`, after each second of 1,000 changes: every page that the node still keeps is \
              compared, byte for byte, with the same page read from the primary (`Cache-Control: no-cache`), until 100,000 \
              were compared.",
    products: PRODUCTS,
    packages: &[],
    measure: measure_truth,
};

/// What the load generator prints of pages.
#[derive(Debug, Deserialize)]
struct Asked {
    requests: u64,
    hits: f64,
    hits_by_version: f64,
    hits_by_time: f64,
    wrong_by_time: f64,
}

/// What it prints of checks.
#[derive(Debug, Deserialize)]
struct Checked {
    checked: usize,
    wrong: Vec<String>,
}

/// What it prints of patches, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Patched {
    failed: u64,
    failure: Option<String>,
}

fn measure_hot(bench: &mut Bench) -> Result<Vec<Line>> {
    let node = port_of(&bench.stack.urls().read[0])?;
    let wrk = Wrk::new(bench.folder())?;
    let mut lines = Vec::new();
    for (what, path) in [
        ("a page of a list", "/products?category=lighting&in_stock=true&sort=price"),
        ("a page of a search", "/products/search?q=desk+lamp&in_stock=true"),
    ] {
        let bare = bench.start_bare(&kept(node, path)?)?;
        let (ours, other) = bench.alternate(
            |time| wrk.run_path(node, path, time),
            |time| wrk.run_path(bare.port, "/products/1", time),
            |ours: &Load, other: &Load| format!("{:.0}/s beside {:.0}", ours.per_second(), other.per_second()),
        )?;
        let rates = |loads: Vec<Load>| loads.into_iter().map(Load::per_second).collect();
        lines.push(Line {
            what: what.to_owned(),
            unit: Unit::RequestsPerSecond,
            ours: Side::new("read node, near", rates(ours)),
            other: Side::new("bare axum server", rates(other)),
            bar: Some(Bar::RatioAtLeast(HOT_MIN)),
        });
    }
    Ok(lines)
}

/// Asks twice; the second answer, which the node must have kept.
fn kept(node: u16, path: &str) -> Result<Answer> {
    get(node, path)?;
    let answer = get(node, path)?;
    let status = answer.header("cache-status");
    ensure!(status == "near; hit", "the node answers {status:?}, not from what it keeps");
    Ok(answer)
}

fn measure_hits(bench: &mut Bench) -> Result<Vec<Line>> {
    let (paths, node) = storefront(bench)?;
    let changes = Changes::of(bench);
    let time = bench.round();
    let seconds = time.as_secs().to_string();
    let mut lines = Vec::new();
    for rate in RATES {
        bench.say(&format!("  {rate} changes a second"));
        let mut rounds: Vec<Asked> = Vec::new();
        for round in 1..=bench.extent.rounds {
            let ask = [
                "pages",
                "--read",
                &node.url(),
                "--paths",
                &paths.display().to_string(),
                "--changes",
                &rate.to_string(),
                "--rate",
                &REQUESTS.to_string(),
                "--seconds",
                &seconds,
            ]
            .map(str::to_owned);
            let asked: Asked = thread::scope(|scope| {
                let making = (rate > 0).then(|| scope.spawn(|| changes.make(rate, time)));
                let asked = bench.load(&ask);
                making.map_or(Ok(()), |making| making.join().map_err(|_| anyhow!("the changes panicked"))?)?;
                asked
            })?;
            bench.say(&format!(
                "  round {round}: {:.3} of {} were hits, beside {:.3} by version, {:.3} by time, of which {:.3} were wrong",
                asked.hits, asked.requests, asked.hits_by_version, asked.hits_by_time, asked.wrong_by_time
            ));
            if interrupt::is_pending() {
                bail!("interrupted");
            }
            rounds.push(asked);
        }
        lines.extend(lines_of(rate, &rounds));
    }
    Ok(lines)
}

fn lines_of(rate: u32, rounds: &[Asked]) -> Vec<Line> {
    let side = |name: &str, of: fn(&Asked) -> f64| Side::new(name, rounds.iter().map(of).collect());
    let line = |what: &str, ours, other| Line {
        what: format!("{what} at {rate} changes a second"),
        unit: Unit::Share,
        ours,
        other,
        bar: None,
    };
    let ours = || side("read node", |asked| asked.hits);
    let by_version = line("hits", ours(), side("one generation", |asked| asked.hits_by_version));
    vec![
        Line { bar: (rate == RATE_OF_BARS).then_some(Bar::OursAtLeast(HITS_MIN)), ..by_version },
        line("hits", ours(), side("1 s to live", |asked| asked.hits_by_time)),
        line("right hits", ours(), side("1 s to live", |asked| asked.hits_by_time - asked.wrong_by_time)),
    ]
}

fn measure_truth(bench: &mut Bench) -> Result<Vec<Line>> {
    let (paths, node) = storefront(bench)?;
    let changes = Changes::of(bench);
    // A short measurement of other rows is a short one of this too.
    let wanted = if bench.extent.rounds < 5 { QUERIES } else { CHECKED };
    let ask = [
        "pages",
        "--read",
        &node.url(),
        "--paths",
        &paths.display().to_string(),
        "--changes",
        "0",
        "--rate",
        "5000",
        "--seconds",
        "1",
    ]
    .map(str::to_owned);
    let check = ["check", "--read", &node.url(), "--paths", &paths.display().to_string()].map(str::to_owned);
    let (mut checked, mut wrong) = (0, 0);
    while checked < wanted {
        bench.load::<Asked>(&ask)?;
        changes.make(RATE_OF_BARS, STORM)?;
        let round: Checked = bench.load(&check)?;
        ensure!(round.checked > 0, "the node keeps no page");
        checked += round.checked;
        wrong += round.wrong.len();
        bench.say(&format!(
            "  {checked} pages were compared, {wrong} were wrong{}",
            round.wrong.first().map_or_else(String::new, |path| format!(" ({path})"))
        ));
        if interrupt::is_pending() {
            bail!("interrupted");
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "pages are few")]
    let count = |pages: usize| vec![pages as f64];
    Ok(vec![Line {
        what: "wrong pages".to_owned(),
        unit: Unit::Pages,
        ours: Side::new("kept by the read node", count(wrong)),
        other: Side::new("compared with the primary", count(checked)),
        bar: Some(Bar::OursAtMost(0.0)),
    }])
}

/// The file of its queries, and a node that has answered each, and may read past what it keeps as often as it is asked to.
fn storefront(bench: &mut Bench) -> Result<(PathBuf, Aside)> {
    let paths = demo::storefront(QUERIES);
    let file = bench.folder().join("storefront");
    fs::write(&file, paths.join("\n"))?;
    let node = bench.start_read_node("read-storefront", &[("FRESHET_NO_CACHE_READS_PER_SECOND", "100000")])?;
    for path in &paths {
        get(node.port, path).with_context(|| format!("{path} of the storefront"))?;
    }
    Ok((file, node))
}

/// Who changes prices and stocks.
struct Changes {
    bin_dir: PathBuf,
    key: Option<String>,
    write: String,
    read: String,
}

impl Changes {
    fn of(bench: &Bench) -> Self {
        let urls = bench.stack.urls();
        Self {
            bin_dir: bench.bin_dir.clone(),
            key: bench.stack.api_key().map(str::to_owned),
            write: urls.write[0].clone(),
            read: urls.read[0].clone(),
        }
    }

    /// Makes so many a second.
    fn make(&self, rate: u32, time: Duration) -> Result<()> {
        let args = [
            "patch".to_owned(),
            format!("--write={}", self.write),
            format!("--read={}", self.read),
            format!("--products={PRODUCTS}"),
            format!("--prices={PRICES}"),
            format!("--rate={rate}"),
            format!("--seconds={}", time.as_secs()),
            "--watched=0".to_owned(),
        ];
        let patched: Patched = tool::load(&self.bin_dir, self.key.as_deref(), &args)?;
        ensure!(
            patched.failed == 0,
            "{} patches were refused: {}",
            patched.failed,
            patched.failure.unwrap_or_default()
        );
        Ok(())
    }
}
