//! What became of the rows: counts, speed, and the refused ones with their reasons.

use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use crate::failure::REFUSED;
use crate::output::{grouped, print_line, table};

/// Refused rows kept for the report: enough to see what is wrong, bounded for a file that is wrong throughout.
const REFUSALS_MAX: usize = 1_000;

/// A row that was not stored, by its line in the source.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal {
    pub(crate) line: u64,
    pub(crate) sku: Option<String>,
    /// The server's; none for a row that could not be sent.
    pub(crate) status: Option<u16>,
    pub(crate) reason: String,
}

pub(crate) struct Report {
    begun: Instant,
    accepted: u64,
    /// Of all refused rows, those that the server answered.
    answered_refused: u64,
    refused: u64,
    /// Of those, the ones that the server could not do.
    failed: u64,
    refusals: Vec<Refusal>,
    is_dry: bool,
    /// Under which the changes stand in the products' history.
    bulk_id: Option<String>,
}

impl Report {
    pub(crate) fn new(is_dry: bool) -> Self {
        Self {
            begun: Instant::now(),
            accepted: 0,
            answered_refused: 0,
            refused: 0,
            failed: 0,
            refusals: Vec::new(),
            is_dry,
            bulk_id: None,
        }
    }

    pub(crate) fn accept(&mut self) {
        self.accepted += 1;
    }

    pub(crate) fn answer_refused(&mut self, refusal: Refusal) {
        self.answered_refused += 1;
        self.refuse(refusal);
    }

    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.refused += 1;
        self.failed += u64::from(refusal.status.is_some_and(|status| status >= 500));
        if self.refusals.len() < REFUSALS_MAX {
            self.refusals.push(refusal);
        }
    }

    /// Rows that the server answered, either way.
    pub(crate) fn confirmed(&self) -> u64 {
        self.accepted + self.answered_refused
    }

    pub(crate) fn end(&mut self, bulk_id: Option<String>) {
        self.bulk_id = bulk_id;
    }

    /// Whether to send the same again may help.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
    }

    /// `19,406 rows, 8,100 rows/s`
    pub(crate) fn rate(&self) -> String {
        format!("{} rows, {} rows/s", grouped(self.confirmed()), grouped(self.rows_per_second()))
    }

    /// Refused rows and the summary: one JSON object for programs, a table and a line for people.
    pub(crate) fn print(&self, is_json: bool, is_quiet: bool) -> anyhow::Result<()> {
        let left_out = self.refused - self.refusals.len() as u64;
        if is_json {
            let report = json!({
                "accepted": self.accepted,
                "refused": self.refused,
                "seconds": self.begun.elapsed().as_secs_f64(),
                "rows_per_second": self.rows_per_second(),
                "refusals": self.refusals,
                "refusals_left_out": left_out,
                "dry_run": self.is_dry,
                "bulk_id": self.bulk_id,
            });
            return print_line(report.to_string());
        }
        if !self.refusals.is_empty() {
            print_line(self.table())?;
        }
        if left_out > 0 {
            print_line(format!("… and {} more", grouped(left_out)))?;
        }
        if !is_quiet {
            let (accepted, refused) = (grouped(self.accepted), grouped(self.refused));
            let seconds = self.begun.elapsed().as_secs_f64();
            let rate = grouped(self.rows_per_second());
            let dry = if self.is_dry { "dry run, nothing was changed: " } else { "" };
            print_line(format!("{dry}{accepted} accepted, {refused} refused in {seconds:.1} s ({rate} rows/s)"))?;
            if let Some(bulk_id) = &self.bulk_id {
                print_line(format!("bulk id {bulk_id}"))?;
            }
        }
        Ok(())
    }

    fn table(&self) -> String {
        let mut table = table();
        table.set_header(["line", "sku", "status", "reason"]);
        for refusal in &self.refusals {
            table.add_row([
                refusal.line.to_string(),
                refusal.sku.clone().unwrap_or_default(),
                refusal.status.map(|status| status.to_string()).unwrap_or_default(),
                refusal.reason.clone(),
            ]);
        }
        table.to_string()
    }

    fn rows_per_second(&self) -> u64 {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.confirmed().saturating_mul(1_000) / millis
    }
}
