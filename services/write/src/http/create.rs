//! `POST /products`: creates one product, or stores a stream of them.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bootstrap::Problem;
use catalog::{NewProduct, Product};
use freshness::Token;

use super::allowed::{Allowed, ProductsOneOrMany};
use super::answer;
use super::body::Submission;
use super::import::{ImportLines, ImportResult, import};
use super::openapi::{KeyProblems, ServerProblems};
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
/// last line of the answer is the `ImportToken` of all that is stored. A key that is revoked meanwhile ends it likewise, with
/// status 401.
#[utoipa::path(
    post,
    path = "/products",
    tag = "products",
    security(("key" = [])),
    request_body(content((NewProduct = "application/json"), (ImportLines = "application/x-ndjson"))),
    responses(
        (status = 201, description = "The product was created", body = Product, headers(
            ("Location" = String, description = "The product's path"),
            ("ETag" = String, description = "The product's version, quoted"),
            ("Consistency-Token" = String, description = "Sent with a read, it makes the answer include this write"),
        )),
        (status = 200, description = "The lines are answered, each by an `ImportResult`", body = ImportResult,
            content_type = "application/x-ndjson"),
        (status = 400, description = "The body is not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another product has the sku", body = Problem,
            content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "The body's media type is another", body = Problem,
            content_type = "application/problem+json",
            headers(("Accept-Post" = String, description = "The media types that are taken"))),
        (status = 422, description = "Fields are not valid", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn post_products(
    State(app): State<App>,
    Allowed { permit, .. }: Allowed<ProductsOneOrMany>,
    submission: Submission,
) -> Result<Response, WriteError> {
    match submission {
        Submission::One(new) => {
            let (product, token) = commit::create(&app.primary, new).await?;
            Ok(created(&product, token))
        }
        Submission::Many(body) => Ok(import(app.primary, permit, body)),
    }
}

fn created(product: &Product, token: Token) -> Response {
    let location = HeaderValue::try_from(format!("/products/{}", product.id)).expect("an id is digits");
    let mut answer = answer(product, token);
    *answer.status_mut() = StatusCode::CREATED;
    answer.headers_mut().insert(header::LOCATION, location);
    answer
}
