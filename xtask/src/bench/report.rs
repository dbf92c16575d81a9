//! What was measured, kept from run to run, and told as a table, a page and pictures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::row::{Line, ROWS};
use super::{Extent, REPEATS_MAX, STOLEN_MAX, svg};

/// Everything that the page is made of. Rows that were measured on another machine do not stand beside new ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: String,
    pub(crate) rows: BTreeMap<String, Measured>,
}

/// A row as it was measured last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// In UTC.
    pub(crate) date: String,
    /// Of each side in each round, where the row measures for a time.
    pub(crate) seconds: u64,
    /// Rounds that the machine's host disturbed: measured again as long as that was allowed.
    #[serde(default)]
    pub(crate) disturbed: usize,
    pub(crate) lines: Vec<Line>,
}

impl Measured {
    pub(super) fn new(date: String, extent: Extent, disturbed: usize, lines: Vec<Line>) -> Self {
        Self { date, seconds: extent.seconds, disturbed, lines }
    }
}

impl Results {
    pub(super) const fn new(machine: String) -> Self {
        Self { machine, rows: BTreeMap::new() }
    }

    pub(crate) fn load(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} holds no results", file.display()))
    }

    /// Each line that misses its bar, as a sentence.
    pub(crate) fn missed(&self) -> Vec<String> {
        let lines = self.rows.iter().flat_map(|(row, measured)| measured.lines.iter().map(move |line| (row, line)));
        lines
            .filter(|(_, line)| line.holds() == Some(false))
            .map(|(row, line)| {
                let (ours, ratio) = (figure(line.ours.median()), line.ratio());
                format!("{row}: {}: {ours} {}, ratio {ratio:.2}; demanded: {}", line.what, line.unit, line.demand())
            })
            .collect()
    }

    /// The table for a terminal.
    pub(crate) fn table(&self) -> String {
        let rows = self.cells();
        let mut widths = HEAD.map(|cell| cell.chars().count());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut table = String::new();
        for row in [HEAD.map(str::to_owned)].iter().chain(&rows) {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{}", cells.join("  ").trim_end());
        }
        table
    }

    /// Writes `benchmarks.md` into `docs`, and beside it a folder with the pictures and the figures; rows that were not
    /// measured now stay as they were.
    pub(crate) fn write(mut self, docs: &Path) -> Result<()> {
        let folder = docs.join("benchmarks");
        fs::create_dir_all(&folder)?;
        let kept = folder.join("results.json");
        if kept.exists() {
            let last = Self::load(&kept)?;
            if last.machine == self.machine {
                for (name, measured) in last.rows {
                    self.rows.entry(name).or_insert(measured);
                }
            }
        }
        self.rows.retain(|name, _| ROWS.iter().any(|row| row.name == name));
        fs::write(&kept, serde_json::to_string_pretty(&self)? + "\n")?;
        for row in &ROWS {
            let picture = folder.join(format!("{}.svg", row.name));
            match self.rows.get(row.name) {
                Some(measured) => fs::write(picture, svg::chart(row.title, &measured.lines))?,
                None if picture.exists() => fs::remove_file(picture)?,
                None => {}
            }
        }
        Ok(fs::write(docs.join("benchmarks.md"), self.page(&folder))?)
    }

    fn page(&self, folder: &Path) -> String {
        let mut page = format!(
            "# Benchmarks\n\nWritten by `cargo xtask bench`, which measures each row anew; `--check` fails if a stated \
             bar is missed, `--list` names the rows, and `cargo xtask bench ROW…` measures some of them.\n\n\
             Machine: {}. Everything runs on it at the same time: the load generator, the servers and the services, as \
             release builds with half of the cores as threads each (the NATS server too), in a stack of their own whose \
             databases have been run in. The catalogue grows from row to row: each finds as many products as it needs.\n\n\
             Each row is a ratio of two sides that are measured by turns in the same run: a warm-up of both, then \
             rounds in which the side that begins changes. A figure is the median of its rounds; the ratio is the \
             median of the rounds' own ratios, with the least and the most in parentheses. Absolute figures belong to \
             the machine, ratios less so. Where a row is measured for a time, a round in which the host of this \
             virtual machine took more than {} % of the processors' time is disturbed, and measured again whatever came \
             of it, up to {} times for each round wanted.\n\n",
            self.machine,
            STOLEN_MAX * 100.0,
            REPEATS_MAX,
        );
        let head = [HEAD.map(str::to_owned), HEAD.map(|_| "---".to_owned())];
        for cells in head.iter().chain(&self.cells()) {
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
        for row in &ROWS {
            let Some(measured) = self.rows.get(row.name) else { continue };
            let rounds = measured.lines.first().map_or(0, |line| line.ours.rounds.len());
            let (name, title, meaning) = (row.name, row.title, row.meaning);
            let Measured { date, seconds, disturbed, .. } = measured;
            let _ = write!(
                page,
                "\n## `{name}`: {title}\n\n![{title}](benchmarks/{name}.svg)\n\n{meaning}\n\nMeasured on {date} in {rounds} \
                 rounds, for {seconds} s on each side where it is for a time; {disturbed} were disturbed. \
                 To measure it: `cargo xtask bench {name}`\n"
            );
            // Kept by hand beside the pictures, if there is more to say than figures.
            if let Ok(notes) = fs::read_to_string(folder.join(format!("{name}.md"))) {
                let _ = write!(page, "\n{}\n", notes.trim());
            }
        }
        page
    }

    /// A row of the table for each line, in the order of the rows.
    fn cells(&self) -> Vec<[String; HEAD.len()]> {
        let of_row = |name: &'static str| {
            let lines = self.rows.get(name).map_or(&[][..], |measured| &measured.lines);
            lines.iter().map(move |line| cells(name, line))
        };
        ROWS.iter().flat_map(|row| of_row(row.name)).collect()
    }
}

const HEAD: [&str; 8] = ["row", "what", "unit", "Freshet", "beside it", "ratio", "bar", "holds"];

fn cells(row: &str, line: &Line) -> [String; HEAD.len()] {
    let ratios = line.ratios();
    let (least, most) =
        (ratios.iter().copied().fold(f64::INFINITY, f64::min), ratios.iter().copied().fold(0.0, f64::max));
    let holds = line.holds().map_or("", |holds| if holds { "yes" } else { "no" });
    [
        row.to_owned(),
        line.what.clone(),
        line.unit.to_string(),
        format!("{} ({})", figure(line.ours.median()), line.ours.name),
        format!("{} ({})", figure(line.other.median()), line.other.name),
        format!("{:.2} ({least:.2} to {most:.2})", line.ratio()),
        line.demand(),
        holds.to_owned(),
    ]
}

/// As many digits as mean something: 63412, 154, 15.4, 1.54.
pub(super) fn figure(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use xtask::scratch::Scratch;

    use super::super::row::{Bar, Side, Unit};
    use super::*;

    fn results(row: &str, machine: &str, ours: f64) -> Results {
        let line = Line {
            what: "GET by id".to_owned(),
            unit: Unit::RequestsPerSecond,
            ours: Side::new("read node", vec![ours; 5]),
            other: Side::new("bare", vec![100.0; 5]),
            bar: Some(Bar::RatioAtLeast(0.85)),
        };
        let measured = Measured { date: "2026-01-02".to_owned(), seconds: 5, disturbed: 0, lines: vec![line] };
        Results { machine: machine.to_owned(), rows: BTreeMap::from([(row.to_owned(), measured)]) }
    }

    #[test]
    fn only_what_misses_its_bar_is_missed_and_is_named() {
        assert!(results("hot-get", "m", 85.0).missed().is_empty());
        let missed = results("hot-get", "m", 84.0).missed();
        assert_eq!(missed, ["hot-get: GET by id: 84.0 requests/s, ratio 0.84; demanded: ratio ≥ 0.85"]);
    }

    #[test]
    fn a_row_measured_later_joins_those_of_the_same_machine_and_replaces_its_own() {
        let scratch = Scratch::new("report").expect("a folder");
        let write = |results: Results| {
            results.write(scratch.path()).expect("the page is written");
            fs::read_to_string(scratch.path().join("benchmarks.md")).expect("the page is there")
        };
        write(results("hot-get", "m", 80.0));
        write(results("hot-get-nginx", "m", 120.0));
        let page = write(results("hot-get", "m", 90.0));
        assert!(
            page.contains("| 90.0 (read node) | 100 (bare) | 0.90 (0.90 to 0.90) | ratio ≥ 0.85 | yes |"),
            "{page}"
        );
        assert!(page.contains("120 (read node)") && !page.contains("80.0"), "{page}");
        assert!(page.contains("(benchmarks/hot-get.svg)"), "{page}");

        let page = write(results("hot-get", "another machine", 90.0));
        assert!(!page.contains("120 (read node)"), "{page}");
        assert!(!scratch.path().join("benchmarks/hot-get-nginx.svg").exists());
    }

    #[test]
    fn figures_have_the_digits_that_mean_something() {
        assert_eq!([63_412.4, 15.44, 1.544, 0.0].map(figure), ["63412", "15.4", "1.54", "0.00"]);
    }
}
