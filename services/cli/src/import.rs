//! `freshet import`: products created or overwritten by their skus.

use std::process::ExitCode;

use http::{HeaderMap, Method};

use crate::args::{Import, Target};
use crate::bulk::{self, Bulk, RowForm};
use crate::columns::COLUMNS;

pub(crate) async fn run(import: &Import, target: &Target) -> anyhow::Result<ExitCode> {
    let bulk = Bulk {
        file: &import.file,
        format: import.format,
        rows: RowForm { columns: &COLUMNS, is_empty_null: true, reason: None },
        method: Method::POST,
        path: "/products",
        headers: HeaderMap::new(),
        is_quiet: import.quiet,
        is_dry: false,
        advice: "importing the same file again is safe",
    };
    bulk::send(bulk, target).await
}
