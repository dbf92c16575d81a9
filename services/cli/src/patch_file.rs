//! `freshet patch --file`: changes of many products, each row for itself.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use uuid::Uuid;

use crate::args::{Patch, Target};
use crate::bulk::{self, Bulk, RowForm};
use crate::columns::PATCH_COLUMNS;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub(crate) async fn run(patch: &Patch, file: &Path, target: &Target) -> anyhow::Result<ExitCode> {
    let key = patch.idempotency_key.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
    let advice = format!(
        "the same command with the same file and --idempotency-key {key} does what was not done, and nothing twice"
    );
    let is_dry = patch.file.dry_run;
    let bulk = Bulk {
        file,
        format: patch.file.format,
        rows: RowForm { columns: &PATCH_COLUMNS, is_empty_null: false, reason: patch.reason.clone() },
        method: Method::PATCH,
        path: if is_dry { "/products?dry_run=true" } else { "/products" },
        headers: HeaderMap::from_iter([(IDEMPOTENCY_KEY, key_value(&key)?)]),
        is_quiet: patch.file.quiet,
        is_dry,
        advice: if is_dry { "nothing was changed" } else { &advice },
    };
    bulk::send(bulk, target).await
}

pub(crate) fn key_value(key: &str) -> anyhow::Result<HeaderValue> {
    HeaderValue::from_str(key).context("the idempotency key must be visible ASCII characters")
}
