//! The routes of the read service, and the document that describes them.

mod batch;
mod conditional;
mod hot;
mod list;
mod page_params;
mod product;
mod search;
mod suggest;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bootstrap::{ApiQuery, Problem, with_docs};
use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoResponses, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use conditional::{EntityTag, etag_of};
pub(crate) use hot::HotAnswers;

use crate::App;
use crate::demand::Demand;
use crate::pages::ProductPage;

#[derive(OpenApi)]
#[openapi(
    info(title = "Freshet: reads", description = "The catalogue as clients see it: get, list and search"),
    tags((name = "products", description = "Products of the catalogue")),
)]
struct Api;

/// The problems that every route may answer
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes what `ReadError` and the layers answer")]
enum Problems {
    /// The path or the query is malformed
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(#[to_schema] Problem),
    /// Parameters have values that are not allowed; `errors` names each
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(#[to_schema] Problem),
    /// This address asks too often; `Retry-After` says when to try again
    #[response(status = 429, content_type = "application/problem+json")]
    TooOften(#[to_schema] Problem),
    /// The service failed; `request_id` is in its log
    #[response(status = 500, content_type = "application/problem+json")]
    Failed(#[to_schema] Problem),
    /// No database can answer now; `Retry-After` says when to try again
    #[response(status = 503, content_type = "application/problem+json")]
    Away(#[to_schema] Problem),
    /// There was no answer in time
    #[response(status = 504, content_type = "application/problem+json")]
    Late(#[to_schema] Problem),
}

/// All routes, around what the node shares.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, _) = routes().split_for_parts();
    with_docs(router.with_state(app), &document())
}

/// The document, as it is served and committed.
pub fn document() -> Value {
    bootstrap::document(&routes().into_openapi())
}

fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Api::openapi())
        .routes(routes!(product::get_product))
        .routes(routes!(get_products))
        .routes(routes!(search::search_products))
        .routes(routes!(suggest::suggest))
}

/// A list of products, or named products
///
/// With `ids` or `skus` the answer holds those products in the order asked for, and what is `missing`.
/// Without them it is one page of the list that the filters describe.
#[utoipa::path(
    get,
    path = "/products",
    tag = "products",
    params(
        batch::BatchParameters,
        page_params::ListParams,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer that the client holds"),
        ("Consistency-Token" = Option<String>, Header, description = "Tokens of writes, comma-separated: the answer includes these writes"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache`: the answer is read from the primary after the request arrived, past every cache; 503 with `Retry-After` if too many ask for that. Other directives change nothing"),
    ),
    responses(
        (status = 200, description = "The products", body = Products, headers(
            ("ETag" = String, description = "Weak: equal for equal bodies"),
            ("Link" = String, description = "Other pages of the list (RFC 8288): `first`, `prev` and `next`, as there are"),
            ("Cache-Status" = String, description = "Which tier answered (RFC 9211)"),
            ("Catalog-As-Of" = String, description = "Every write acknowledged before this moment is in the answer; absent while that is not known"),
        )),
        (status = 304, description = "The client holds this very answer"),
        Problems,
    ),
)]
async fn get_products(
    State(app): State<Arc<App>>,
    ApiQuery(pairs): ApiQuery<Vec<(String, String)>>,
    demand: Demand,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let is_batch = pairs.iter().any(|(name, _)| batch::PARAMETERS.contains(&name.as_str()));
    let answer = if is_batch {
        batch::get_batch(&app, pairs, &demand, &request).await?
    } else {
        list::get_list(&app, pairs, &demand, &request).await?
    };
    Ok(answer)
}

/// A page of a list, or a batch
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what the two answer")]
enum Products {
    Page(ProductPage),
    Batch(batch::ProductBatch),
}
