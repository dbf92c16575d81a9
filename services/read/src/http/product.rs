//! `GET /products/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bootstrap::{ApiPath, Problem};
use cache::Content;
use catalog::{Product, ProductId};

use super::Problems;
use super::conditional::{Cacheable, EntityTag, conditional};
use crate::App;
use crate::error::ReadError;

/// One product
#[utoipa::path(
    get,
    path = "/products/{id}",
    tag = "products",
    params(
        ("id" = ProductId, Path, description = "The product's id"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the version that the client holds"),
    ),
    responses(
        (status = 200, description = "The product", body = Product, headers(
            ("ETag" = String, description = "The product's version"),
            ("Cache-Status" = String, description = "Which tier answered (RFC 9211)"),
        )),
        (status = 304, description = "The client holds the present version"),
        (status = 404, description = "There is no such product", body = Problem, content_type = "application/problem+json"),
        Problems,
    ),
)]
pub(crate) async fn get_product(
    State(app): State<Arc<App>>,
    ApiPath(id): ApiPath<ProductId>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let answer = app.products.get(id).await?;
    let Content::Product(body) = answer.value.content else {
        return Err(ReadError::NotFound(id).into());
    };
    let etag = EntityTag::of_version(answer.value.version);
    Ok(conditional(&request, &app.cache_control, Cacheable { body, etag, cache_status: answer.trace.to_string() }))
}
