//! `POST /keys`: makes an API key, and shows it this once.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstrap::Problem;

use super::allowed::{Allowed, KeysAdmin};
use super::body::KeyRequest;
use super::openapi::{KeyProblems, ServerProblems};
use crate::app::App;
use crate::error::WriteError;
use crate::keys::{IssuedKey, NewKey, issue};

/// Makes an API key
///
/// The answer is the only place where the key is ever shown.
#[utoipa::path(
    post,
    path = "/keys",
    tag = "keys",
    security(("key" = [])),
    request_body = NewKey,
    responses(
        (status = 201, description = "The key, which is not shown again", body = IssuedKey, headers(
            ("Location" = String, description = "The path to revoke it at"),
        )),
        (status = 400, description = "The body is not JSON", body = Problem, content_type = "application/problem+json"),
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
pub(super) async fn create_key(
    State(app): State<App>,
    allowed: Allowed<KeysAdmin>,
    KeyRequest(new): KeyRequest,
) -> Result<Response, WriteError> {
    let key = issue(&mut *app.primary.pool.acquire().await?, new).await?;
    tracing::info!(key = %key.id, by = %allowed.permit.actor().key, "key_created");
    let location = HeaderValue::try_from(format!("/keys/{}", key.id)).expect("an id is digits");
    let headers = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store")), (header::LOCATION, location)];
    Ok((StatusCode::CREATED, headers, Json(key)).into_response())
}
