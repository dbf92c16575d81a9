//! What a client may send, read strictly: its media type, its size, and every field.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::IntoResponse;
use catalog::{NewProduct, ProductPatch};

use crate::app::App;
use crate::error::WriteError;
use crate::keys::NewKey;

/// The largest product is below 50 KiB as JSON in UTF-8; only one written mostly as `\u` escapes would not fit.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A line of a bulk holds one product, as a body does.
pub(crate) const LINE_BYTES_MAX: usize = BODY_BYTES_MAX;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";
pub(super) const NDJSON: &str = "application/x-ndjson";

/// What can be posted to the products.
pub(super) enum Submission {
    One {
        new: NewProduct,
        /// As it came.
        text: Bytes,
    },
    /// Lines that are read while they arrive.
    Many(Body),
}

impl FromRequest<App> for Submission {
    type Rejection = WriteError;

    async fn from_request(request: Request, app: &App) -> Result<Self, WriteError> {
        let media_type = media_type(request.headers());
        if media_type.eq_ignore_ascii_case(NDJSON) {
            return Ok(Self::Many(request.into_body()));
        }
        if media_type.eq_ignore_ascii_case(JSON) {
            let text = whole_body(request, app).await?;
            return Ok(Self::One { new: NewProduct::parse(&text)?, text });
        }
        Err(WriteError::MediaType {
            header: HeaderName::from_static("accept-post"),
            accepted: "application/json, application/x-ndjson",
        })
    }
}

/// A JSON merge patch (RFC 7396).
pub(super) struct MergePatch {
    pub(super) patch: ProductPatch,
    /// As it came.
    pub(super) text: Bytes,
}

impl FromRequest<App> for MergePatch {
    type Rejection = WriteError;

    async fn from_request(request: Request, app: &App) -> Result<Self, WriteError> {
        let media_type = media_type(request.headers());
        if [MERGE_PATCH, JSON].iter().any(|accepted| media_type.eq_ignore_ascii_case(accepted)) {
            let text = whole_body(request, app).await?;
            return Ok(Self { patch: ProductPatch::parse(&text)?, text });
        }
        Err(WriteError::MediaType {
            header: HeaderName::from_static("accept-patch"),
            accepted: "application/merge-patch+json, application/json",
        })
    }
}

/// The lines of a bulk patch, which are read while they arrive.
pub(super) struct PatchLines(pub(super) Body);

impl<S: Sync> FromRequest<S> for PatchLines {
    type Rejection = WriteError;

    async fn from_request(request: Request, _: &S) -> Result<Self, WriteError> {
        if media_type(request.headers()).eq_ignore_ascii_case(NDJSON) {
            return Ok(Self(request.into_body()));
        }
        Err(WriteError::MediaType { header: HeaderName::from_static("accept-patch"), accepted: NDJSON })
    }
}

/// A key that is asked for.
pub(super) struct KeyRequest(pub(super) NewKey);

impl FromRequest<App> for KeyRequest {
    type Rejection = WriteError;

    async fn from_request(request: Request, app: &App) -> Result<Self, WriteError> {
        if media_type(request.headers()).eq_ignore_ascii_case(JSON) {
            return Ok(Self(NewKey::parse(&whole_body(request, app).await?)?));
        }
        Err(WriteError::MediaType { header: HeaderName::from_static("accept-post"), accepted: JSON })
    }
}

/// The media type without its parameters; empty if the client names none.
pub(super) fn media_type(headers: &HeaderMap) -> &str {
    let named = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    named.and_then(|value| value.split(';').next()).unwrap_or_default().trim()
}

async fn whole_body(request: Request, app: &App) -> Result<Bytes, WriteError> {
    Bytes::from_request(request, app).await.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => WriteError::BodyTooLarge,
        _ => WriteError::BrokenBody,
    })
}
