//! `PATCH /products/{id}`: changes some fields of a product.

use axum::extract::State;
use axum::response::Response;
use bootstrap::{ApiPath, Problem};
use catalog::{Product, ProductId, ProductPatch};

use super::body::MergePatch;
use super::conditions::{Conditions, WantsMinimal};
use super::done;
use super::openapi::ServerProblems;
use crate::actor::Actor;
use crate::app::App;
use crate::commit::{Action, Command};
use crate::error::WriteError;

/// Changes some fields of a product
///
/// A JSON merge patch (RFC 7396): what is absent stays, `null` clears a field that may be empty. A patch that changes
/// nothing makes no new version.
#[utoipa::path(
    patch,
    path = "/products/{id}",
    tag = "products",
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
        ServerProblems,
    ),
)]
pub(super) async fn patch_product(
    State(app): State<App>,
    ApiPath(id): ApiPath<ProductId>,
    actor: Actor,
    conditions: Conditions,
    WantsMinimal(is_minimal): WantsMinimal,
    MergePatch { patch, text }: MergePatch,
) -> Result<Response, WriteError> {
    let if_match = conditions.if_match.clone();
    let once = conditions.once(&text);
    let command = Command { id, action: Action::Patch(patch), if_match, author: actor.into(), once };
    let (what, token) = app.patches.submit(command).await?;
    Ok(done(what, token, is_minimal))
}
