//! `DELETE /products/{id}`: takes a product out of the catalogue.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use bootstrap::{ApiPath, Problem};
use catalog::ProductId;

use super::allowed::{Allowed, ProductsWrite};
use super::openapi::{KeyProblems, ServerProblems};
use super::{CONSISTENCY_TOKEN, token_value};
use crate::app::App;
use crate::commit;
use crate::error::WriteError;

/// Deletes a product
///
/// Its id never returns; its sku is free for a new product.
#[utoipa::path(
    delete,
    path = "/products/{id}",
    tag = "products",
    security(("key" = [])),
    params(("id" = ProductId, Path, description = "The product's id")),
    responses(
        (status = 204, description = "The product is deleted", headers(
            ("Consistency-Token" = String, description = "Sent with a read, it makes the answer include this write"),
        )),
        (status = 400, description = "The id is none", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such product", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn delete_product(
    State(app): State<App>,
    _: Allowed<ProductsWrite>,
    ApiPath(id): ApiPath<ProductId>,
) -> Result<impl IntoResponse, WriteError> {
    let token = commit::delete(&app.primary, id).await?;
    let no_store = HeaderValue::from_static("no-store");
    Ok((StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, no_store), (CONSISTENCY_TOKEN, token_value(token))]))
}
