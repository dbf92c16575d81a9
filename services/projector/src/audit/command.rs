//! `freshet-projector audit`: an audit of some length, with a table at its end.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use comfy_table::{Table, presets};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use super::nines::{Nines, WITHIN};
use super::node::Node;
use super::{Audit, Auditor, Findings};
use crate::config::AuditSettings;
use crate::signals;

/// A promise was broken.
const VIOLATED: u8 = 1;
/// Nothing could be judged.
const FAILED: u8 = 2;

/// Between two looks at how far it is.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// Runs to the end. Violations and the table go to standard output.
pub async fn run(settings: &AuditSettings) -> ExitCode {
    match audit(settings).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("freshet-projector: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

async fn audit(settings: &AuditSettings) -> anyhow::Result<ExitCode> {
    ensure!(!settings.audited.read_urls.is_empty(), "name the read nodes: --read-urls (FRESHET_READ_URLS)");
    let stop = signals::stop_on_signal(FAILED)?;
    let nats = settings.nats.connect("freshet-projector-audit").await?;
    let audit = Audit::new(&settings.audited, settings.cache.open()?, nats, print)?;
    let auditor = Arc::clone(&audit.auditor);
    auditor.look_at_primary().await?;
    let length = Duration::from_secs(settings.seconds);
    tokio::select! {
        () = audit.work(settings.samples_per_second, stop.clone(), true) => {}
        () = show_until_end(&auditor, length, &stop) => {}
    }
    let findings = auditor.findings().clone();
    println!("{}", table(&findings, &auditor));
    let unheard: Vec<&str> =
        auditor.nodes.iter().filter(|node| !findings.has_heard(node.tier)).map(Node::url).collect();
    println!("{}", summary(&findings, &unheard));
    Ok(exit_code(&findings, &unheard))
}

/// Stops the audit when its time is over, and shows how far it is until whoever calls this ends it.
async fn show_until_end(auditor: &Auditor, length: Duration, stop: &CancellationToken) {
    let bar = ProgressBar::new(length.as_secs());
    if std::io::stderr().is_terminal() {
        bar.set_style(ProgressStyle::with_template("{wide_bar} {pos}/{len} s  {msg}").expect("a template"));
    } else {
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
    }
    let begun = Instant::now();
    let mut ticks = interval(SHOW_EVERY);
    loop {
        ticks.tick().await;
        if begun.elapsed() >= length {
            stop.cancel();
        }
        let (samples, violations) = {
            let findings = auditor.findings();
            (findings.samples, findings.violations)
        };
        bar.set_position(begun.elapsed().min(length).as_secs());
        bar.set_message(format!("{} samples, {} violations", HumanCount(samples), HumanCount(violations)));
    }
}

/// One violation on one line.
fn print(report: &Value) {
    println!("{report}");
}

fn table(findings: &Findings, auditor: &Auditor) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let within = WITHIN.map(|limit| format!("<= {limit:?}"));
    let head = ["tier", "changes"].map(str::to_owned).into_iter().chain(within);
    table.set_header(head.chain(["others", "empty", "away", "unsettled", ""].map(str::to_owned)));
    for tier in auditor.tiers() {
        let nines = findings.tally.get(&tier).copied().unwrap_or_default();
        let url = auditor.nodes.iter().find(|node| node.tier == tier).map_or("", |node| node.url());
        let Nines { changes, checked, empty, away, unsettled, .. } = nines;
        let counts = [checked, empty, away, unsettled].map(|count| HumanCount(count).to_string());
        let row = [tier.to_string(), HumanCount(changes).to_string()].into_iter().chain(nines.shares());
        table.add_row(row.chain(counts).chain([url.to_owned()]));
    }
    table
}

fn summary(findings: &Findings, unheard: &[&str]) -> String {
    let samples = HumanCount(findings.samples);
    let held = HumanCount(findings.held_to_as_of);
    let violations = HumanCount(findings.violations);
    let end = match (findings.held_to_as_of, unheard) {
        (0, _) => "; nothing could be judged".to_owned(),
        (_, []) => String::new(),
        (_, unheard) => format!("; no answer of {} could be judged", unheard.join(", ")),
    };
    format!("{samples} samples, {held} answers held to their Catalog-As-Of, {violations} violations{end}")
}

fn exit_code(findings: &Findings, unheard: &[&str]) -> ExitCode {
    match findings {
        Findings { violations: 1.., .. } => ExitCode::from(VIOLATED),
        Findings { held_to_as_of: 0, .. } => ExitCode::from(FAILED),
        _ if !unheard.is_empty() => ExitCode::from(FAILED),
        _ => ExitCode::SUCCESS,
    }
}

impl Auditor {
    /// Whether there is a primary to compare with; told at once rather than at the end.
    async fn look_at_primary(&self) -> anyhow::Result<()> {
        let look = async {
            let Some(id) = self.primary.any_id().await? else { return Ok(false) };
            self.primary.read(id, &self.heard).await.map(|_| true)
        };
        let has_products = look.await.context("the primary cannot be compared with")?;
        ensure!(has_products, "there are no products to audit");
        Ok(())
    }
}
