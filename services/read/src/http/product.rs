//! `GET /products/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bootstrap::{ApiPath, ApiQuery, Problem};
use cache::Content;
use catalog::{Product, ProductId};

use super::Problems;
use super::conditional::{Cacheable, EntityTag, conditional, promise};
use crate::App;
use crate::demand::Demand;
use crate::error::ReadError;
use crate::log::AsOf;
use crate::pages::Fields;

/// One product
#[utoipa::path(
    get,
    path = "/products/{id}",
    tag = "products",
    params(
        ("id" = ProductId, Path, description = "The product's id"),
        ("fields" = Option<String>, Query, description = "Only these fields of the product, separated by commas, such as `id,name,price`: then the others are absent, also those that the schema requires. All if it is not given"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the version that the client holds"),
        ("Consistency-Token" = Option<String>, Header, description = "Tokens of writes, comma-separated: the answer includes these writes"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache`: the answer is read from the primary after the request arrived, past every cache; 503 with `Retry-After` if too many ask for that. Other directives change nothing"),
    ),
    responses(
        (status = 200, description = "The product", body = Product, headers(
            ("ETag" = String, description = "The product's version"),
            ("Cache-Status" = String, description = "Which tier answered (RFC 9211)"),
            ("Catalog-As-Of" = String, description = "Every write acknowledged before this moment is in the answer; absent while that is not known"),
        )),
        (status = 304, description = "The client holds the present version"),
        (status = 404, description = "There is no such product", body = Problem, content_type = "application/problem+json"),
        Problems,
    ),
)]
pub(crate) async fn get_product(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<ProductId>,
    ApiQuery(pairs): ApiQuery<Vec<(String, String)>>,
    demand: Demand,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let fields = Fields::alone(pairs).map_err(ReadError::from)?;
    let as_of = app.log.as_of();
    let answer = app.products.get(id, &demand).await?;
    let as_of = AsOf::header_for(as_of.as_deref(), answer.value.epoch);
    let Content::Product(body) = answer.value.content else {
        let mut refusal = Problem::from(ReadError::NotFound(id)).into_response();
        promise(refusal.headers_mut(), answer.trace.to_string(), as_of);
        return Ok(refusal);
    };
    let etag = EntityTag::of_version(answer.value.version);
    let (body, etag) = match fields {
        None => (body, etag),
        Some(fields) => (fields.of_product(&body), etag.weak()),
    };
    let found = Cacheable { body, etag, cache_status: answer.trace.to_string(), as_of };
    Ok(conditional(&request, &app.cache_control, found))
}
