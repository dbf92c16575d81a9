//! `DELETE /products/{id}`: takes a product out of the catalogue.

use axum::extract::State;
use axum::response::Response;
use bootstrap::{ApiPath, Problem};
use catalog::ProductId;

use super::allowed::{Allowed, ProductsWrite};
use super::conditions::Conditions;
use super::done;
use super::openapi::{KeyProblems, ServerProblems};
use crate::app::App;
use crate::commit::{Action, Command};
use crate::error::WriteError;

/// Deletes a product
///
/// Its id never returns; its sku is free for a new product.
#[utoipa::path(
    delete,
    path = "/products/{id}",
    tag = "products",
    security(("key" = [])),
    params(
        ("id" = ProductId, Path, description = "The product's id"),
        ("If-Match" = Option<String>, Header, description = "The entity tags that may be deleted, or `*`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, new for each delete"),
    ),
    responses(
        (status = 204, description = "The product is deleted", headers(
            ("Consistency-Token" = String, description = "Sent with a read, it makes the answer include this write"),
        )),
        (status = 400, description = "The id is none", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such product", body = Problem,
            content_type = "application/problem+json"),
        (status = 409, description = "A request with the same key is being worked on", body = Problem,
            content_type = "application/problem+json"),
        (status = 412, description = "The product is at another version, which the problem shows as `current`",
            body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The key was sent with another request", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn delete_product(
    State(app): State<App>,
    Allowed { permit, .. }: Allowed<ProductsWrite>,
    ApiPath(id): ApiPath<ProductId>,
    conditions: Conditions,
) -> Result<Response, WriteError> {
    let if_match = conditions.if_match.clone();
    let command =
        Command { id, action: Action::Delete, if_match, author: permit.actor().into(), once: conditions.once(&[]) };
    let (what, token) = app.patches.submit(command).await?;
    Ok(done(what, token, false))
}
