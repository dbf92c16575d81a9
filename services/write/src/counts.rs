//! What the service counts.

use axum::http::StatusCode;
use events::ChangeKind;

const CHANGES: &str = "freshet_changes_total";
const IMPORT_LINES: &str = "freshet_import_lines_total";
const PATCH_LINES: &str = "freshet_patch_lines_total";

const KEY_LOOKUPS: &str = "freshet_key_lookups_total";

const HELD: &str = "freshet_patches_held_total";
const COMBINED: &str = "freshet_patch_batch_size";
const UPKEEP_FAILURES: &str = "freshet_upkeep_failures_total";

/// What lines are counted of.
#[derive(Clone, Copy)]
pub(crate) enum Bulk {
    Import,
    Patch,
}

/// What becomes of a line. Kept: changed, or already as the line says.
const LINE_RESULTS: [&str; 4] = ["created", "kept", "refused", "failed"];

/// How a look for a key in the database ended.
#[derive(Clone, Copy)]
pub(crate) enum KeyLookup {
    Found,
    Unknown,
    Failed,
}

/// Says what the names mean; call it once.
pub fn describe() {
    metrics::describe_counter!(CHANGES, "Committed changes of products, by kind: created, updated, deleted");
    metrics::describe_counter!(IMPORT_LINES, "Lines of imports, by result: created, kept, refused, failed");
    metrics::describe_counter!(PATCH_LINES, "Lines of bulk patches, by result: kept, refused, failed");
    metrics::describe_histogram!(COMBINED, "Changes that one transaction of single or bulk patches has committed");
    metrics::describe_counter!(HELD, "Patches that waited for another transaction which held their product");
    metrics::describe_counter!(
        UPKEEP_FAILURES,
        "Rounds of upkeep that failed, and months of the history that were not made"
    );
    metrics::describe_counter!(
        KEY_LOOKUPS,
        "Looks into the database for API keys that were not in memory, by result: found, unknown (none such, revoked or \
         expired), failed"
    );
    metrics::counter!(HELD).absolute(0);
    metrics::counter!(UPKEEP_FAILURES).absolute(0);
    for kind in ChangeKind::ALL {
        metrics::counter!(CHANGES, "kind" => kind.word()).absolute(0);
    }
    for result in LINE_RESULTS {
        metrics::counter!(IMPORT_LINES, "result" => result).absolute(0);
    }
    for result in &LINE_RESULTS[1..] {
        metrics::counter!(PATCH_LINES, "result" => *result).absolute(0);
    }
    for result in [KeyLookup::Found, KeyLookup::Unknown, KeyLookup::Failed] {
        metrics::counter!(KEY_LOOKUPS, "result" => result.word()).absolute(0);
    }
}

pub(crate) fn change(kind: ChangeKind) {
    metrics::counter!(CHANGES, "kind" => kind.word()).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "a batch is small")]
pub(crate) fn combined(changes: usize) {
    metrics::histogram!(COMBINED).record(changes as f64);
}

pub(crate) fn held(patches: usize) {
    metrics::counter!(HELD).increment(patches as u64);
}

pub(crate) fn upkeep_failed() {
    metrics::counter!(UPKEEP_FAILURES).increment(1);
}

pub(crate) fn line(bulk: Bulk, status: Option<StatusCode>) {
    let [created, kept, refused, failed] = LINE_RESULTS;
    let result = match status {
        Some(StatusCode::CREATED) => created,
        Some(status) if status.is_success() => kept,
        Some(status) if status.is_client_error() => refused,
        _ => failed,
    };
    match bulk {
        Bulk::Import => metrics::counter!(IMPORT_LINES, "result" => result).increment(1),
        Bulk::Patch => metrics::counter!(PATCH_LINES, "result" => result).increment(1),
    }
}

pub(crate) fn key_lookup(result: KeyLookup) {
    metrics::counter!(KEY_LOOKUPS, "result" => result.word()).increment(1);
}

impl KeyLookup {
    const fn word(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }
}
