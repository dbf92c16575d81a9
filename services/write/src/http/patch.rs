//! `PATCH /products/{id}`: changes some fields of a product.

use axum::extract::State;
use axum::response::Response;
use bootstrap::{ApiPath, Problem};
use catalog::{Product, ProductId, ProductPatch};

use super::allowed::{Allowed, ProductsWrite};
use super::answer;
use super::body::MergePatch;
use super::openapi::{KeyProblems, ServerProblems};
use crate::app::App;
use crate::error::WriteError;

/// Changes some fields of a product
///
/// A JSON merge patch (RFC 7396): what is absent stays, `null` clears a field that may be empty. A patch that changes
/// nothing makes no new version.
#[utoipa::path(
    patch,
    path = "/products/{id}",
    tag = "products",
    security(("key" = [])),
    params(("id" = ProductId, Path, description = "The product's id")),
    request_body(content((ProductPatch = "application/merge-patch+json"), (ProductPatch = "application/json"))),
    responses(
        (status = 200, description = "The product after the patch", body = Product, headers(
            ("ETag" = String, description = "The product's version, quoted"),
            ("Consistency-Token" = String, description = "Sent with a read, it makes the answer include this write"),
        )),
        (status = 400, description = "The id is none, or the body is not JSON", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such product", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "The body's media type is another", body = Problem,
            content_type = "application/problem+json",
            headers(("Accept-Patch" = String, description = "The media types that are taken"))),
        (status = 422, description = "Fields are not valid", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn patch_product(
    State(app): State<App>,
    _: Allowed<ProductsWrite>,
    ApiPath(id): ApiPath<ProductId>,
    MergePatch(patch): MergePatch,
) -> Result<Response, WriteError> {
    let (product, token) = app.patches.patch(id, patch).await?;
    Ok(answer(&product, token))
}
