//! A file's rows as one stream of NDJSON lines, and the answers to them as they come.

mod csv_rows;
mod follow;
mod ndjson_rows;
mod pump;
mod report;
mod source;

use std::io::BufRead;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};
use client::{ClientError, NdjsonAnswer};
use http::{HeaderMap, Method};
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Format, Target};
use crate::failure::accepted;
use report::Report;

/// What is sent from where, and how that is told.
pub(crate) struct Bulk<'a> {
    pub(crate) file: &'a Path,
    pub(crate) format: Option<Format>,
    pub(crate) rows: RowForm,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) is_quiet: bool,
    /// Nothing is stored.
    pub(crate) is_dry: bool,
    /// What to do when not all of it was done.
    pub(crate) advice: &'a str,
}

/// How rows become lines.
#[derive(Clone, Debug)]
pub(crate) struct RowForm {
    /// What a CSV file may have.
    pub(crate) columns: &'static [&'static str],
    /// What an empty cell says of its field: that it is to be empty, or nothing.
    pub(crate) is_empty_null: bool,
    /// Of rows that give none.
    pub(crate) reason: Option<String>,
}

/// One row of the source: where it begins, and its NDJSON line or why it cannot be sent.
struct Row {
    line: u64,
    json: Result<Vec<u8>, String>,
}

/// Rows in their order; an error is the last one.
type Rows = Box<dyn Iterator<Item = std::io::Result<Row>> + Send>;

pub(crate) async fn send(bulk: Bulk<'_>, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.client()?;
    let format = format_of(&bulk)?;
    let is_silent = bulk.is_quiet || target.json;
    let progress = if is_silent { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let source = source::open(bulk.file, &progress)?;
    let rows = rows(format, source, bulk.rows).with_context(|| bulk.file.display().to_string())?;
    progress.set_style(ProgressStyle::with_template(source::template(&progress))?);

    let report = Arc::new(Mutex::new(Report::new(bulk.is_dry)));
    let (pump, lines) = pump::start(rows, report.clone());
    let answering = client.stream_lines(bulk.method, bulk.path, bulk.headers, lines);
    let answer = follow::patiently(answering, &pump.sent).await?.map_err(|error| advised(error, bulk.advice))?;
    let answer = refuse_errors(answer).await?;
    let followed = follow::follow(answer.lines(), pump, &report, bulk.advice, &progress).await;
    progress.finish_and_clear();

    let report = report.lock().expect("no thread panics with the report in hand");
    report.print(target.json, bulk.is_quiet)?;
    followed?;
    if report.has_failed() {
        eprintln!("freshet: the server could not do some rows; {}", bulk.advice);
    }
    Ok(report.exit_code())
}

fn format_of(bulk: &Bulk<'_>) -> anyhow::Result<Format> {
    match bulk.format.or_else(|| Format::of_name(bulk.file)) {
        Some(format) => Ok(format),
        None if bulk.file == Path::new("-") => bail!("pass --format csv or --format ndjson with standard input"),
        None => bail!("{} ends in neither .csv nor .ndjson: pass --format", bulk.file.display()),
    }
}

fn rows(format: Format, source: Box<dyn BufRead + Send>, form: RowForm) -> anyhow::Result<Rows> {
    Ok(match format {
        Format::Csv => Box::new(csv_rows::read(source, form)?),
        Format::Ndjson => Box::new(ndjson_rows::read(source, form.reason)),
    })
}

/// Whoever was not reached has done nothing.
fn advised(error: ClientError, advice: &str) -> anyhow::Error {
    match error {
        ClientError::Unreachable { .. } => error.into(),
        _ => anyhow::Error::new(error).context(format!("no row is confirmed, each may or may not be stored; {advice}")),
    }
}

async fn refuse_errors(answer: NdjsonAnswer) -> anyhow::Result<NdjsonAnswer> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    accepted(answer.into_response().await?)?;
    bail!("the server answered in an unexpected way")
}
