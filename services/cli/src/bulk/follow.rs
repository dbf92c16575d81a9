//! Follows the answers line by line, each matched with the row it belongs to.

use std::pin::pin;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use client::{Lines, Problem};
use futures_util::StreamExt;
use indicatif::ProgressBar;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::pump::Pump;
use super::report::{Refusal, Report};

/// Longest silence while rows wait for their answer: above any pause of a healthy server.
const SILENCE: Duration = Duration::from_mins(1);

/// Answers between two updates of the progress line.
const PROGRESS_EVERY: u64 = 128;

/// One line of the answer; a line without a status belongs to no row.
#[derive(Deserialize)]
struct Answer {
    bulk_id: Option<String>,
    status: Option<u16>,
    sku: Option<String>,
    problem: Option<Problem>,
}

/// Counts every answer in the report.
///
/// # Errors
/// The server vanishes, falls silent, or ends before every row is answered; or the source breaks off.
pub(crate) async fn follow(
    mut lines: Lines,
    mut pump: Pump,
    report: &Mutex<Report>,
    advice: &str,
    progress: &ProgressBar,
) -> anyhow::Result<()> {
    let confirmed = || report.lock().expect("no thread panics with the report in hand").confirmed();
    let unfinished = || {
        format!("this is incomplete: {} rows are confirmed, later ones may or may not be stored; {advice}", confirmed())
    };
    loop {
        let next = patiently(lines.next(), &pump.sent).await.with_context(unfinished)?;
        let Some(line) = next else { break };
        let line = line.with_context(unfinished)?;
        let answer: Answer = serde_json::from_slice(&line)
            .with_context(|| format!("this is no result line: {}", String::from_utf8_lossy(&line)))
            .with_context(unfinished)?;
        let Some(status) = answer.status else {
            report.lock().expect("no thread panics with the report in hand").end(answer.bulk_id);
            continue;
        };
        let Ok(row) = pump.sent.try_recv() else { bail!("the server answered more rows than were sent") };
        record(report, row, status, answer);
        if confirmed().is_multiple_of(PROGRESS_EVERY) {
            progress.set_message(report.lock().expect("no thread panics with the report in hand").rate());
        }
    }
    match pump.ended.try_recv() {
        Ok(read) => read.with_context(|| format!("the source breaks off; {} rows are confirmed", confirmed()))?,
        Err(_) => return Err(anyhow!("the server ended its answer early").context(unfinished())),
    }
    let unanswered = pump.sent.len();
    if unanswered > 0 {
        return Err(anyhow!("the server left {unanswered} rows unanswered").context(unfinished()));
    }
    Ok(())
}

/// Waits for the server, and gives up only when it owes an answer: a slow source may leave it nothing to answer.
pub(crate) async fn patiently<T>(next: impl Future<Output = T>, sent: &mpsc::Receiver<u64>) -> anyhow::Result<T> {
    let mut next = pin!(next);
    loop {
        match timeout(SILENCE, &mut next).await {
            Ok(next) => return Ok(next),
            Err(_) if sent.is_empty() => {}
            Err(_) => bail!("no answer for {} s", SILENCE.as_secs()),
        }
    }
}

fn record(report: &Mutex<Report>, line: u64, status: u16, answer: Answer) {
    let mut report = report.lock().expect("no thread panics with the report in hand");
    if status < 400 {
        report.accept();
        return;
    }
    let reason = answer.problem.map_or_else(|| "no reason given".to_owned(), |problem| problem.to_string());
    report.answer_refused(Refusal { line, sku: answer.sku, status: Some(status), reason });
}
