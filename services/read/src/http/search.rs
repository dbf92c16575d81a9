//! `GET /products/search`: the products that have the words, best match first.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bootstrap::{ApiQuery, Problem};

use super::Problems;
use super::list::page;
use super::page_params::SearchParams;
use crate::App;
use crate::demand::Demand;
use crate::error::ReadError;
use crate::pages::{PageQuery, ProductPage};

/// Search products
///
/// One page of the products that have the words of `q` and pass every filter: first the one whose sku was typed, then those
/// whose brand was typed, then whatever has more of the words. Words that mean nothing by themselves ("the", "and") count only
/// where enough products have them too.
#[utoipa::path(
    get,
    path = "/products/search",
    tag = "products",
    params(
        SearchParams,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer that the client holds"),
        ("Consistency-Token" = Option<String>, Header, description = "Tokens of writes, comma-separated: the answer includes these writes"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache`: the answer is read from the primary after the request arrived, past every cache; 503 with `Retry-After` if too many ask for that. Other directives change nothing"),
    ),
    responses(
        (status = 200, description = "A page of products", body = ProductPage, headers(
            ("ETag" = String, description = "Weak: equal for equal bodies"),
            ("Link" = String, description = "Other pages of the search (RFC 8288): `first`, `prev` and `next`, as there are"),
            ("Cache-Status" = String, description = "Which tier answered (RFC 9211)"),
            ("Catalog-As-Of" = String, description = "Every write acknowledged before this moment is in the answer; absent while that is not known"),
        )),
        (status = 304, description = "The client holds this very answer"),
        Problems,
    ),
)]
pub(crate) async fn search_products(
    State(app): State<Arc<App>>,
    ApiQuery(pairs): ApiQuery<Vec<(String, String)>>,
    demand: Demand,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let query = PageQuery::search(pairs, app.default_currency).map_err(ReadError::from)?;
    Ok(page(&app, query, &demand, &request).await?)
}
