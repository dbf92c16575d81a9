//! What the lines of an import or a bulk patch are answered.

use axum::http::StatusCode;
use bootstrap::Problem;
use catalog::{ProductId, Sku, Version};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::commit::ProductLine;
use crate::error::WriteError;

/// What became of one line
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BulkResult {
    Done(DoneLine),
    Refused(RefusedLine),
    End(BulkEnd),
}

/// The line is stored
#[derive(Serialize, ToSchema)]
pub(super) struct DoneLine {
    /// The line's number, counted from 1
    #[schema(minimum = 1)]
    line: u64,
    /// 201 if the product was created, 200 if it was changed or already is as the line says
    #[schema(minimum = 200, maximum = 201)]
    status: u16,
    id: ProductId,
    sku: Sku,
    version: Version,
}

/// The line is not stored
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedLine {
    /// The line's number, counted from 1
    #[schema(minimum = 1)]
    line: u64,
    /// The status that a request with this line alone would have got
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    problem: Problem,
}

/// The last line
#[derive(Serialize, ToSchema)]
pub(super) struct BulkEnd {
    /// Sent with a read, it makes the answer include all that was stored
    pub(super) consistency_token: String,
    /// The id that the history of each of these changes names
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Uuid)]
    pub(super) bulk_id: Option<Uuid>,
    /// True if nothing was stored, because the request asked for that
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = bool)]
    pub(super) dry_run: Option<bool>,
}

pub(super) fn done(line: u64, status: StatusCode, product: ProductLine) -> BulkResult {
    let ProductLine { id, sku, version } = product;
    BulkResult::Done(DoneLine { line, status: status.as_u16(), id, sku, version })
}

pub(super) fn refused(line: u64, error: &WriteError) -> BulkResult {
    refused_with(line, error.problem())
}

pub(super) fn refused_with(line: u64, problem: Problem) -> BulkResult {
    BulkResult::Refused(RefusedLine { line, status: problem.status().as_u16(), problem })
}

impl BulkResult {
    /// Of a line.
    pub(super) fn status(&self) -> Option<StatusCode> {
        let status = match self {
            Self::Done(DoneLine { status, .. }) | Self::Refused(RefusedLine { status, .. }) => *status,
            Self::End(_) => return None,
        };
        StatusCode::from_u16(status).ok()
    }
}
