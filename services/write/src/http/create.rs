//! `POST /products`: creates one product, or stores a stream of them.

use axum::extract::State;
use axum::response::Response;
use bootstrap::Problem;
use catalog::{NewProduct, Product};

use super::allowed::{Allowed, ProductsOneOrMany};
use super::body::Submission;
use super::conditions::Conditions;
use super::done;
use super::import::{ImportLines, import};
use super::openapi::{KeyProblems, ServerProblems};
use super::results::BulkResult;
use crate::app::App;
use crate::commit;
use crate::error::WriteError;

/// Creates a product, or imports many
///
/// `application/json` creates one product, and needs the scope `products:write`.
///
/// `application/x-ndjson` needs the scope `products:bulk` and takes any number of products, one a line of at most 64 KiB, and gives each sku the content
/// of its line: it creates the product or changes the one that there is. Each line is answered by one line, in
/// order, while the body still arrives; read them, or the server stops reading. Empty lines count and are not
/// answered. When the database goes away the lines concerned are answered with status 503, and no more are read. The
/// last line of the answer is the `BulkEnd`. A key that is revoked meanwhile ends it, with status 401.
///
/// With an `Idempotency-Key` the product is created once, however often the request comes: a repeat gets the first answer,
/// with a fresh `Consistency-Token`; another body under the key is refused with 422. Of many products each line is stored
/// once under its number, as with `PATCH`; only a line that was refused is tried again.
#[utoipa::path(
    post,
    path = "/products",
    tag = "products",
    security(("key" = [])),
    params(
        ("Idempotency-Key" = Option<String>, Header,
            description = "1 to 255 visible ASCII characters, new for each product or import"),
    ),
    request_body(content((NewProduct = "application/json"), (ImportLines = "application/x-ndjson"))),
    responses(
        (status = 201, description = "The product was created", body = Product, headers(
            ("Location" = String, description = "The product's path"),
            ("ETag" = String, description = "The product's version, quoted"),
            ("Consistency-Token" = String, description = "Sent with a read, it makes the answer include this write"),
        )),
        (status = 200, description = "The lines are answered, each by a `BulkResult`", body = BulkResult,
            content_type = "application/x-ndjson"),
        (status = 400, description = "The body is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another product has the sku, or the `Idempotency-Key` is in use at this moment", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "The body's media type is another", body = Problem,
            content_type = "application/problem+json",
            headers(("Accept-Post" = String, description = "The media types that are taken"))),
        (status = 422, description = "Fields are not valid, or the `Idempotency-Key` was sent with another request", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn post_products(
    State(app): State<App>,
    Allowed { permit, .. }: Allowed<ProductsOneOrMany>,
    conditions: Conditions,
    submission: Submission,
) -> Result<Response, WriteError> {
    match submission {
        Submission::One { new, text } => {
            let once = conditions.once(&text);
            let (what, token) = commit::create(&app.primary, new, &permit.actor().into(), once.as_ref()).await?;
            Ok(done(what, token, false))
        }
        Submission::Many(body) => import(app, permit, body, conditions.of_lines()?),
    }
}
