//! Rows of cold pages: lists and searches that nobody has asked for before, each read from a database.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::Deserialize;
use xtask::demo::ColdPage;

use super::Bench;
use super::aside::Aside;
use super::row::{Bar, Line, Row, Side, Unit};
use super::tool::Quantiles;

/// Of 99 in a hundred pages, over 1,000,000 products.
const P99_MS_MAX: f64 = 50.0;
/// Room for the pages of all rounds, also where each is measured again and again: what is asked again must be kept.
const PAGE_BYTES_MAX: &str = "1073741824";

pub(super) const PAGES: Row = Row {
    name: "cold-pages",
    title: "pages that nobody asked for before, over 100,000 products",
    meaning: "Distinct queries, one after another on one connection, of a read node that keeps none of their pages: in each \
              round 300 searches for two words within a range of prices (of 10, 25, 50 or 100 dollars), 300 lists of a \
              brand or a category that are counted (`count=exact`), most of them within such a range, in every order, and \
              50 searches for one word. Every answer is checked to be 200 and to come from a database. A warm-up of as \
              many other queries, which are not counted, brings the tables into memory. Beside it: the queries that were \
              asked last, asked again, which the node answers from what it keeps.",
    products: 100_000,
    packages: &[],
    measure: |bench| measure(bench, None),
};

pub(super) const PAGES_OF_A_MILLION: Row = Row {
    name: "cold-pages-1m",
    title: "pages that nobody asked for before, over 1,000,000 products",
    meaning: "What `cold-pages` measures, with ten times as many products.",
    products: 1_000_000,
    packages: &[],
    measure: |bench| measure(bench, Some(Bar::OursAtMost(P99_MS_MAX))),
};

/// What is asked for in each round.
struct Kind {
    page: ColdPage,
    what: &'static str,
    pages: usize,
    is_judged: bool,
}

const KINDS: [Kind; 3] = [
    Kind { page: ColdPage::TwoWords, what: "two words in a range of prices", pages: 300, is_judged: true },
    Kind { page: ColdPage::Counted, what: "counted lists", pages: 300, is_judged: true },
    Kind { page: ColdPage::OneWord, what: "one word", pages: 50, is_judged: false },
];

/// What the load generator prints.
#[derive(Debug, Deserialize)]
struct Asked {
    latency: Quantiles,
    /// The path that took longest.
    slowest: String,
}

/// For each kind.
type Round = Vec<Asked>;

/// The bar is put to the p99 of what is judged.
fn measure(bench: &mut Bench, bar: Option<Bar>) -> Result<Vec<Line>> {
    let node = bench.start_read_node("read-cold", &[("FRESHET_PAGE_BYTES_MAX", PAGE_BYTES_MAX)])?;
    let bench = &*bench;
    let files: Vec<PathBuf> = (1..=KINDS.len()).map(|kind| bench.folder().join(format!("cold-{kind}"))).collect();
    let mut paths: Vec<_> = KINDS.iter().map(|kind| kind.page.paths()).collect();
    let (ours, other) = bench.alternate(
        |_| -> Result<Round> {
            let kinds = KINDS.iter().zip(&mut paths).zip(&files);
            kinds
                .map(|((kind, paths), file)| {
                    let fresh: Vec<String> = paths.take(kind.pages).collect();
                    ensure!(
                        fresh.len() == kind.pages,
                        "no more queries are distinct ({}): fewer rounds, please",
                        kind.what
                    );
                    fs::write(file, fresh.join("\n"))?;
                    ask(bench, &node, file, &[])
                })
                .collect()
        },
        |_| -> Result<Round> { files.iter().map(|file| ask(bench, &node, file, &["--kept"])).collect() },
        told,
    )?;
    Ok((0..KINDS.len()).flat_map(|kind| lines_of(kind, bar, &ours, &other)).collect())
}

fn ask(bench: &Bench, node: &Aside, file: &Path, more: &[&str]) -> Result<Asked> {
    let (url, file) = (node.url(), file.display().to_string());
    bench.load(&[&["once", "--read", &url, "--paths", &file], more].concat())
}

fn told(ours: &Round, other: &Round) -> String {
    let of_each = KINDS.iter().zip(ours.iter().zip(other)).map(|(kind, (ours, other))| {
        let Asked { latency, slowest } = ours;
        format!("{}: {latency} beside {}; {:.0} ms for {slowest}", kind.what, other.latency, latency.max)
    });
    of_each.collect::<Vec<_>>().join("\n    ")
}

fn lines_of(kind: usize, bar: Option<Bar>, ours: &[Round], other: &[Round]) -> [Line; 2] {
    let Kind { what, is_judged, .. } = KINDS[kind];
    let line = |quantile: &str, of: fn(Quantiles) -> f64, bar| {
        let side =
            |name, rounds: &[Round]| Side::new(name, rounds.iter().map(|round| of(round[kind].latency)).collect());
        Line {
            what: format!("{quantile} of {what}"),
            unit: Unit::Milliseconds,
            ours: side("read node, from a database", ours),
            other: side("the same node, kept", other),
            bar,
        }
    };
    [line("p50", |latency| latency.p50, None), line("p99", |latency| latency.p99, bar.filter(|_| is_judged))]
}
