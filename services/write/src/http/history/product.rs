//! `GET /products/{id}/history`: the prices and stocks that a product had.

use axum::extract::State;
use bootstrap::{ApiPath, ApiQuery, Problem};
use catalog::ProductId;

use super::{HistoryPage, HistoryQuery, connection, cursor, unread};
use crate::app::App;
use crate::error::WriteError;
use crate::http::allowed::{Allowed, ProductsWrite};
use crate::http::openapi::{KeyProblems, ServerProblems};
use crate::store::history;

/// The history of a product's price and stock
///
/// Every change of price, currency or stock, the newest first, with who made it and why. A deleted product keeps its history.
/// Changes of other fields are not in it, so versions may be missing; so are changes older than the service keeps them.
#[utoipa::path(
    get,
    path = "/products/{id}/history",
    tag = "products",
    security(("key" = [])),
    params(("id" = ProductId, Path, description = "The product's id"), HistoryQuery),
    responses(
        (status = 200, description = "A page of the history, as of now", body = HistoryPage),
        (status = 400, description = "The id is none, or a query parameter is not valid", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There never was such a product", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(in crate::http) async fn get_product_history(
    State(app): State<App>,
    _: Allowed<ProductsWrite>,
    ApiPath(id): ApiPath<ProductId>,
    ApiQuery(query): ApiQuery<HistoryQuery>,
) -> Result<HistoryPage, WriteError> {
    let below = query.cursor.as_deref().map(|text| cursor::read_of_product(text, id)).transpose()?;
    let mut connection = connection(&app).await?;
    let rows = history::of_product(&mut connection, id, below, query.rows_max()).await.map_err(unread)?;
    if rows.is_empty() && !history::was_there(&mut connection, id).await.map_err(unread)? {
        return Err(WriteError::NotFound(id));
    }
    Ok(query.page(rows, |last| cursor::of_product(id, last.version)))
}
