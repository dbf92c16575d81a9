//! The API: one file for each endpoint.

mod allowed;
pub(crate) mod body;
mod bulk;
mod conditions;
mod create;
mod create_key;
mod delete;
pub(crate) mod history;
mod import;
mod lines;
mod list_keys;
mod openapi;
mod patch;
mod patch_many;
mod results;
mod revoke_key;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstrap::PROBLEM_JSON;
use catalog::{ProductId, Version};
use freshness::Token;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::commit::Done;

pub use openapi::document;

const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Every route of the public port, with its document and the page that renders it.
pub fn router(app: App) -> Router {
    let (router, _) = routes().split_for_parts();
    bootstrap::with_docs(router.with_state(app), &document())
}

fn routes() -> OpenApiRouter<App> {
    openapi::described()
        .routes(routes!(create::post_products, patch_many::patch_products))
        .routes(routes!(patch::patch_product, delete::delete_product))
        .routes(routes!(history::product::get_product_history))
        .routes(routes!(history::bulk::get_bulk_history))
        .routes(routes!(create_key::create_key, list_keys::list_keys))
        .routes(routes!(revoke_key::revoke_key))
        .layer(DefaultBodyLimit::max(body::BODY_BYTES_MAX))
}

fn token_value(token: Token) -> HeaderValue {
    HeaderValue::try_from(token.to_text()).expect("a token is base64url")
}

/// The answer to a change that was done, or was done before.
fn done(done: Done, token: Token, is_minimal: bool) -> Response {
    let (product, version) = (done.product(), done.etag());
    let (status, body) = match done {
        Done::Created(product) => (StatusCode::CREATED, product.to_json()),
        Done::Patched(product) => (StatusCode::OK, product.to_json()),
        Done::Deleted(..) => (StatusCode::NO_CONTENT, Vec::new()),
        Done::Repeated(kept) => (kept.status(), kept.body.into_bytes()),
    };
    let is_minimal = is_minimal && status == StatusCode::OK;
    let mut answer = if is_minimal || body.is_empty() {
        StatusCode::NO_CONTENT.into_response()
    } else {
        (status, body).into_response()
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some((id, _)) = product {
        headers.insert(CONSISTENCY_TOKEN, token_value(token));
        if status == StatusCode::CREATED {
            headers.insert(header::LOCATION, location(id));
        }
    }
    if let Some(version) = version {
        headers.insert(header::ETAG, etag(version));
    }
    if is_minimal {
        headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("return=minimal"));
    } else if status != StatusCode::NO_CONTENT {
        let media_type = if status.is_success() { "application/json" } else { PROBLEM_JSON };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    answer
}

pub(crate) fn etag(version: Version) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("a version is digits")
}

fn location(id: ProductId) -> HeaderValue {
    HeaderValue::try_from(format!("/products/{id}")).expect("an id is digits")
}
