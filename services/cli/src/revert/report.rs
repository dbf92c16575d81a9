//! What became of each product: counts, and a table of what was put back and what was left, with the reasons.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::json;

use super::decide::Offer;
use crate::failure::REFUSED;
use crate::output::{grouped, print_line, table};

/// Products of each kind that are kept for the report: enough to look through, bounded for a large import.
const LINES_MAX: usize = 1_000;

/// One product.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    pub(super) product_id: i64,
    pub(super) from: Option<Offer>,
    pub(super) to: Option<Offer>,
    /// Why nothing was put back.
    pub(super) reason: Option<String>,
}

pub(super) enum Outcome {
    PutBack(Line),
    Unchanged,
    Skipped(Line),
}

#[derive(Default)]
pub(super) struct Report {
    is_dry_run: bool,
    put_back: Lines,
    skipped: Lines,
    unchanged: u64,
}

#[derive(Default)]
struct Lines {
    count: u64,
    kept: Vec<Line>,
}

impl Lines {
    fn add(&mut self, line: Line) {
        self.count += 1;
        if self.kept.len() < LINES_MAX {
            self.kept.push(line);
        }
    }

    fn left_out(&self) -> u64 {
        self.count - self.kept.len() as u64
    }
}

impl Report {
    pub(super) fn new(is_dry_run: bool) -> Self {
        Self { is_dry_run, ..Self::default() }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::PutBack(line) => self.put_back.add(line),
            Outcome::Unchanged => self.unchanged += 1,
            Outcome::Skipped(line) => self.skipped.add(line),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.put_back.count + self.unchanged + self.skipped.count == 0
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        if self.skipped.count == 0 { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
    }

    /// One JSON object for programs, a table and a line for people.
    pub(super) fn print(&self, is_json: bool) -> anyhow::Result<()> {
        let left_out = self.put_back.left_out() + self.skipped.left_out();
        if is_json {
            let report = json!({
                "dry_run": self.is_dry_run,
                "put_back": self.put_back.count,
                "unchanged": self.unchanged,
                "skipped": self.skipped.count,
                "products": self.put_back.kept,
                "skipped_products": self.skipped.kept,
                "left_out": left_out,
            });
            return print_line(report.to_string());
        }
        if !self.put_back.kept.is_empty() || !self.skipped.kept.is_empty() {
            print_line(self.table())?;
        }
        if left_out > 0 {
            print_line(format!("… and {} more", grouped(left_out)))?;
        }
        let done = if self.is_dry_run { "to be put back" } else { "put back" };
        let [put_back, unchanged, skipped] = [self.put_back.count, self.unchanged, self.skipped.count].map(grouped);
        print_line(format!("{put_back} {done}, {unchanged} already so, {skipped} skipped"))
    }

    fn table(&self) -> String {
        let mut table = table();
        table.set_header(["product", "from", "to", "result"]);
        let done = if self.is_dry_run { "would be put back" } else { "put back" };
        for line in self.put_back.kept.iter().chain(&self.skipped.kept) {
            let result = line.reason.as_ref().map_or_else(|| done.to_owned(), |reason| format!("skipped: {reason}"));
            table.add_row([line.product_id.to_string(), text(line.from.as_ref()), text(line.to.as_ref()), result]);
        }
        table.to_string()
    }
}

fn text(offer: Option<&Offer>) -> String {
    offer.map(|Offer { price, currency, stock }| format!("{price} {currency}, stock {stock}")).unwrap_or_default()
}
