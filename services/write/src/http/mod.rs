//! The API: one file for each endpoint.

mod allowed;
pub(crate) mod body;
mod create;
mod create_key;
mod delete;
mod import;
mod lines;
mod list_keys;
mod openapi;
mod patch;
mod revoke_key;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use catalog::Product;
use freshness::Token;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

pub use openapi::document;

const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");

/// Every route of the public port, with its document and the page that renders it.
pub fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    bootstrap::with_docs(router.with_state(app), &document())
}

fn routes() -> OpenApiRouter<App> {
    openapi::described()
        .routes(routes!(create::post_products))
        .routes(routes!(patch::patch_product, delete::delete_product))
        .routes(routes!(create_key::create_key, list_keys::list_keys))
        .routes(routes!(revoke_key::revoke_key))
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
}

fn token_value(token: Token) -> HeaderValue {
    HeaderValue::try_from(token.to_text()).expect("a token is base64url")
}

/// A product as it is now, which no cache may keep: it is the answer to a write.
fn answer(product: &Product, token: Token) -> Response {
    let etag = HeaderValue::try_from(format!("\"{}\"", product.version)).expect("a version is digits");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::ETAG, etag),
        (CONSISTENCY_TOKEN, token_value(token)),
    ];
    (headers, product.to_json()).into_response()
}
