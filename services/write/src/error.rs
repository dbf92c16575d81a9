//! Every way a write can fail, and the only place where that becomes HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstrap::{FieldError, Problem};
use catalog::{FieldFault, ProductId, Refusal};

use crate::http::body::{BODY_BYTES_MAX, LINE_BYTES_MAX};
use crate::keys::{KeyId, KeyRefusal};
use crate::store::fault::Fault;

/// A failover takes seconds and a crowded pool less: the smallest wait that the header can say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The index that judges races for a sku.
const SKU_INDEX: &str = "products_sku";

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    NotLetIn(#[from] KeyRefusal),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the body broke off before its end")]
    BrokenBody,
    #[error("a body may have at most {BODY_BYTES_MAX} bytes")]
    BodyTooLarge,
    #[error("a line may have at most {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    #[error("nothing was sent for {} s", .0.as_secs())]
    Silent(Duration),
    /// `header` tells the client which media types are taken: `Accept-Patch` (RFC 5789) or `Accept-Post`.
    #[error("the body must be one of {accepted}, named in Content-Type")]
    MediaType { header: HeaderName, accepted: &'static str },
    #[error("there is no product {0}")]
    NotFound(ProductId),
    #[error("there is no key {0}")]
    KeyNotFound(KeyId),
    #[error("another product has this sku")]
    DuplicateSku,
    /// More patches wait than can be stored in time.
    #[error("too many changes are waiting; this one was not stored")]
    Busy,
    /// Whoever was to store the change is gone, which is logged there. Told like a database that went away meanwhile.
    #[error("the service failed; the change may or may not have been stored")]
    Lost,
    /// What it means depends on the cause, which is logged, not sent. Several changes may share it.
    #[error("the change could not be stored")]
    Database(#[source] Arc<sqlx::Error>),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        let constraint = error.as_database_error().and_then(sqlx::error::DatabaseError::constraint);
        if constraint == Some(SKU_INDEX) { Self::DuplicateSku } else { Self::Database(Arc::new(error)) }
    }
}

impl From<FieldFault> for WriteError {
    fn from(fault: FieldFault) -> Self {
        Self::Refused(Refusal::Invalid(vec![fault]))
    }
}

impl WriteError {
    /// The answer that the client gets.
    pub(crate) fn problem(&self) -> Problem {
        let of = |status| Problem::new(status, self.to_string());
        match self {
            Self::NotLetIn(refusal) => not_let_in(refusal),
            Self::Refused(Refusal::Malformed(_)) | Self::BrokenBody => of(StatusCode::BAD_REQUEST),
            Self::Refused(Refusal::Invalid(faults)) => of(StatusCode::UNPROCESSABLE_ENTITY)
                .of_kind("/problems/invalid-field", "Invalid field")
                .with_errors(faults.iter().cloned().map(field_error)),
            Self::BodyTooLarge | Self::LineTooLong => of(StatusCode::PAYLOAD_TOO_LARGE),
            Self::Silent(_) => of(StatusCode::REQUEST_TIMEOUT),
            Self::MediaType { .. } => of(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::NotFound(_) | Self::KeyNotFound(_) => of(StatusCode::NOT_FOUND),
            Self::DuplicateSku => of(StatusCode::CONFLICT)
                .of_kind("/problems/duplicate-sku", "Duplicate sku")
                .with_errors([field_error(FieldFault::new("sku", self))]),
            Self::Busy | Self::Lost => of(StatusCode::SERVICE_UNAVAILABLE).retry_after(RETRY_AFTER),
            Self::Database(error) if Fault::of(error).is_passing() => {
                let detail = "the database is away or busy; the change may or may not have been stored";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
            }
            Self::Database(_) => failed(),
        }
    }

    /// Tells operators what clients are not told.
    pub(crate) fn log(&self) {
        let (Self::Database(cause) | Self::NotLetIn(KeyRefusal::NotChecked(cause))) = self else { return };
        if Fault::of(cause).is_passing() {
            tracing::warn!(%cause, "database_away");
        } else {
            tracing::error!(%cause, "write_failed");
        }
    }
}

impl IntoResponse for WriteError {
    fn into_response(self) -> Response {
        self.log();
        let mut answer = self.problem().into_response();
        let hint = match self {
            Self::MediaType { header, accepted } => (header, accepted),
            Self::NotLetIn(KeyRefusal::NoGoodKey) => (header::WWW_AUTHENTICATE, "Bearer"),
            _ => return answer,
        };
        answer.headers_mut().insert(hint.0, HeaderValue::from_static(hint.1));
        answer
    }
}

fn not_let_in(refusal: &KeyRefusal) -> Problem {
    let of = |status| Problem::new(status, refusal.to_string());
    match refusal {
        KeyRefusal::NoGoodKey => of(StatusCode::UNAUTHORIZED),
        KeyRefusal::NotAllowed(_) => of(StatusCode::FORBIDDEN).of_kind("/problems/missing-scope", "Missing scope"),
        KeyRefusal::NotChecked(error) if Fault::of(error).is_passing() => {
            of(StatusCode::SERVICE_UNAVAILABLE).retry_after(RETRY_AFTER)
        }
        KeyRefusal::NotChecked(_) => failed(),
    }
}

fn failed() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed; the request id is in its log")
}

fn field_error(fault: FieldFault) -> FieldError {
    FieldError { pointer: fault.pointer, detail: fault.detail }
}
