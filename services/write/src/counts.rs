//! What the service counts.

use events::ChangeKind;

const CHANGES: &str = "freshet_changes_total";
const IMPORT_LINES: &str = "freshet_import_lines_total";

/// What became of one line of an import.
#[derive(Clone, Copy)]
pub(crate) enum LineResult {
    Created,
    /// Changed, or already as the line says.
    Kept,
    Refused,
    Failed,
}

/// Says what the names mean; call it once.
pub fn describe() {
    metrics::describe_counter!(CHANGES, "Committed changes of products, by kind: created, updated, deleted");
    metrics::describe_counter!(IMPORT_LINES, "Lines of imports, by result: created, kept, refused, failed");
}

pub(crate) fn change(kind: ChangeKind) {
    metrics::counter!(CHANGES, "kind" => kind.word()).increment(1);
}

pub(crate) fn line(result: LineResult) {
    let word = match result {
        LineResult::Created => "created",
        LineResult::Kept => "kept",
        LineResult::Refused => "refused",
        LineResult::Failed => "failed",
    };
    metrics::counter!(IMPORT_LINES, "result" => word).increment(1);
}
