//! `freshet import`: a file's rows as one stream of NDJSON lines, and the answers to them as they come.

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
use client::NdjsonAnswer;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Format, Import, Target};
use crate::failure::accepted;
use report::Report;

/// One row of the source: where it begins, and its NDJSON line or why it cannot be sent.
struct Row {
    line: u64,
    json: Result<Vec<u8>, String>,
}

/// Rows in their order; an error is the last one.
type Rows = Box<dyn Iterator<Item = std::io::Result<Row>> + Send>;

pub(crate) async fn run(import: Import, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.client()?;
    let format = format_of(&import)?;
    let is_silent = import.quiet || target.json;
    let progress = if is_silent { ProgressBar::hidden() } else { ProgressBar::no_length() };
    let source = source::open(&import.file, &progress)?;
    let rows = rows(format, source).with_context(|| import.file.display().to_string())?;
    progress.set_style(ProgressStyle::with_template(source::template(&progress))?);

    let report = Arc::new(Mutex::new(Report::new()));
    let (pump, lines) = pump::start(rows, report.clone());
    let answer = follow::patiently(client.stream_ndjson("/products", lines), &pump.sent).await??;
    let answer = refuse_errors(answer).await?;
    let followed = follow::follow(answer.lines(), pump, &report, &progress).await;
    progress.finish_and_clear();

    let report = report.lock().expect("no thread panics with the report in hand");
    report.print(target.json, import.quiet)?;
    followed?;
    Ok(report.exit_code())
}

fn format_of(import: &Import) -> anyhow::Result<Format> {
    match import.format.or_else(|| Format::of_name(&import.file)) {
        Some(format) => Ok(format),
        None if import.file == Path::new("-") => bail!("pass --format csv or --format ndjson with standard input"),
        None => bail!("{} ends in neither .csv nor .ndjson: pass --format", import.file.display()),
    }
}

fn rows(format: Format, source: Box<dyn BufRead + Send>) -> anyhow::Result<Rows> {
    Ok(match format {
        Format::Csv => Box::new(csv_rows::read(source)?),
        Format::Ndjson => Box::new(ndjson_rows::read(source)),
    })
}

async fn refuse_errors(answer: NdjsonAnswer) -> anyhow::Result<NdjsonAnswer> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    accepted(answer.into_response().await?)?;
    bail!("the server answered in an unexpected way")
}
