//! `DELETE /keys/{id}`: revokes an API key.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use bootstrap::{ApiPath, Problem};

use super::allowed::{Allowed, KeysAdmin};
use super::openapi::{KeyProblems, ServerProblems};
use crate::app::App;
use crate::error::WriteError;
use crate::keys::KeyId;

/// Revokes an API key
///
/// It is good for nothing from now on: at this instance at once, at every other within a second, or within ten if an
/// instance does not reach NATS. To revoke a key again changes nothing.
#[utoipa::path(
    delete,
    path = "/keys/{id}",
    tag = "keys",
    security(("key" = [])),
    params(("id" = KeyId, Path, description = "The key's id")),
    responses(
        (status = 204, description = "The key is revoked"),
        (status = 400, description = "The id is none", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such key", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn revoke_key(
    State(app): State<App>,
    allowed: Allowed<KeysAdmin>,
    ApiPath(id): ApiPath<KeyId>,
) -> Result<impl IntoResponse, WriteError> {
    if !app.keys.revoke(id).await? {
        return Err(WriteError::KeyNotFound(id));
    }
    tracing::info!(key = %id, by = %allowed.permit.actor().key, "key_revoked");
    Ok((StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))]))
}
