//! `GET /bulks/{id}/history`: what an import or a bulk patch did to prices and stocks.

use axum::extract::State;
use bootstrap::{ApiPath, ApiQuery, Problem};
use uuid::Uuid;

use super::{HistoryPage, HistoryQuery, connection, cursor, unread};
use crate::app::App;
use crate::error::WriteError;
use crate::http::allowed::{Allowed, ProductsWrite};
use crate::http::openapi::{KeyProblems, ServerProblems};
use crate::store::history;

/// The history of an import or a bulk patch
///
/// Every change of price, currency or stock that it made, by product and version. Empty if it made none, if what it made is older
/// than the service keeps, or if there never was such a bulk: what changes nothing leaves no trace.
#[utoipa::path(
    get,
    path = "/bulks/{id}/history",
    tag = "products",
    security(("key" = [])),
    params(("id" = Uuid, Path, description = "The bulk's id, as its last line of results says"), HistoryQuery),
    responses(
        (status = 200, description = "A page of the history, as of now", body = HistoryPage),
        (status = 400, description = "The id is none, or a query parameter is not valid", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(in crate::http) async fn get_bulk_history(
    State(app): State<App>,
    _: Allowed<ProductsWrite>,
    ApiPath(id): ApiPath<Uuid>,
    ApiQuery(query): ApiQuery<HistoryQuery>,
) -> Result<HistoryPage, WriteError> {
    let after = query.cursor.as_deref().map(|text| cursor::read_of_bulk(text, id)).transpose()?;
    let rows = history::of_bulk(&mut *connection(&app).await?, id, after, query.rows_max()).await.map_err(unread)?;
    Ok(query.page(rows, |last| cursor::of_bulk(id, (last.product_id, last.version))))
}
