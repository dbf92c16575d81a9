//! `PATCH /products/{id}`: changes some fields of a product.

use axum::extract::State;
use axum::response::Response;
use bootstrap::{ApiPath, Problem};
use catalog::{Product, ProductId, ProductPatch};

use super::allowed::{Allowed, ProductsWrite};
use super::body::MergePatch;
use super::conditions::{Conditions, WantsMinimal};
use super::done;
use super::openapi::{KeyProblems, ServerProblems};
use crate::app::App;
use crate::commit::{Action, Command};
use crate::error::WriteError;

/// Changes some fields of a product
///
/// A JSON merge patch (RFC 7396): what is absent stays, `null` clears a field that may be empty. A patch that changes
/// nothing makes no new version. `stock_delta` adds to the stock as it is then, and is refused rather than taking it below 0;
/// `reason` is kept in the product's history. With `If-Match` the patch is made of that version or not at all; with an
/// `Idempotency-Key` it is made once, however often it is sent: within a day a repeat gets the first answer.
#[utoipa::path(
    patch,
    path = "/products/{id}",
    tag = "products",
    security(("key" = [])),
    params(
        ("id" = ProductId, Path, description = "The product's id"),
        ("If-Match" = Option<String>, Header, description = "The entity tags that the patch may be made of, or `*`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, new for each patch"),
        ("Prefer" = Option<String>, Header, description = "`return=minimal` for an answer without the product"),
    ),
    request_body(content((ProductPatch = "application/merge-patch+json"), (ProductPatch = "application/json"))),
    responses(
        (status = 200, description = "The product after the patch", body = Product, headers(
            ("ETag" = String, description = "The product's version, quoted"),
            ("Consistency-Token" = String, description = "Sent with a read, it makes the answer include this write"),
        )),
        (status = 204, description = "The same, if the request prefers `return=minimal`"),
        (status = 400, description = "The id or a header is none, or the body is not JSON", body = Problem,
            content_type = "application/problem+json"),
        (status = 404, description = "There is no such product", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "The stock would fall below 0, or a request with the same key is being worked on",
            body = Problem, content_type = "application/problem+json"),
        (status = 412, description = "The product is at another version, which the problem shows as `current`",
            body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "The body's media type is another", body = Problem,
            content_type = "application/problem+json",
            headers(("Accept-Patch" = String, description = "The media types that are taken"))),
        (status = 422, description = "Fields are not valid, or the key was sent with another request", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn patch_product(
    State(app): State<App>,
    Allowed { permit, .. }: Allowed<ProductsWrite>,
    ApiPath(id): ApiPath<ProductId>,
    conditions: Conditions,
    WantsMinimal(is_minimal): WantsMinimal,
    MergePatch { patch, text }: MergePatch,
) -> Result<Response, WriteError> {
    let if_match = conditions.if_match.clone();
    let once = conditions.once(&text);
    let command = Command { id, action: Action::Patch(patch), if_match, author: permit.actor().into(), once };
    let (what, token) = app.patches.submit(command).await?;
    Ok(done(what, token, is_minimal))
}
