//! Every way a write can fail, and the only place where that becomes HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstrap::{FieldError, Problem};
use catalog::{FieldFault, Product, ProductId, Refusal, Sku};

use crate::http::body::{BODY_BYTES_MAX, LINE_BYTES_MAX};
use crate::http::etag;
use crate::http::history::CursorFault;
use crate::keys::{KeyId, KeyRefusal};
use crate::store::fault::Fault;

/// A failover takes seconds and a crowded pool less: the smallest wait that the header can say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What to do about an outcome that is not known.
const UNKNOWN: &str = "a repeat with the same Idempotency-Key applies it at most once";

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
    #[error("there is no product with the sku {0}")]
    UnknownSku(Sku),
    /// With the product as it is.
    #[error("the product is at version {}, which If-Match does not name", .0.version)]
    Stale(Box<Product>),
    /// With the product as it is.
    #[error("{0}")]
    BelowZero(String, Box<Product>),
    #[error("this Idempotency-Key was sent with another request; take a new key for each")]
    KeyReused,
    /// The same key is in use at this moment.
    #[error("another request with this Idempotency-Key is being worked on")]
    KeyInUse,
    #[error("{0}")]
    Header(&'static str),
    #[error(transparent)]
    Cursor(#[from] CursorFault),
    #[error("there is no key {0}")]
    KeyNotFound(KeyId),
    #[error("another product has this sku")]
    DuplicateSku,
    /// More patches wait than can be stored in time.
    #[error("too many changes are waiting; this one was not stored")]
    Busy,
    #[error("too many imports and bulk patches are under way; nothing of this one was stored")]
    TooManyBulks,
    /// For longer than anybody waits.
    #[error("another transaction holds the product; it was not changed")]
    Held,
    /// Whoever was to store the change is gone, which is logged there. Told like a database that went away meanwhile.
    #[error("the service failed; the change may or may not have been stored: {UNKNOWN}")]
    Lost,
    /// Nothing was to be changed.
    #[error("the history could not be read")]
    Unread(#[source] Arc<sqlx::Error>),
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
            Self::Refused(Refusal::Malformed(_)) | Self::BrokenBody | Self::Header(_) | Self::Cursor(_) => {
                of(StatusCode::BAD_REQUEST)
            }
            Self::Refused(Refusal::Invalid(faults)) => of(StatusCode::UNPROCESSABLE_ENTITY)
                .of_kind("/problems/invalid-field", "Invalid field")
                .with_errors(faults.iter().cloned().map(field_error)),
            Self::Stale(current) => of(StatusCode::PRECONDITION_FAILED)
                .of_kind("/problems/stale-version", "Stale version")
                .with_current(json(current)),
            Self::BelowZero(_, current) => of(StatusCode::CONFLICT)
                .of_kind("/problems/stock-below-zero", "Stock below zero")
                .with_errors([field_error(FieldFault::new("stock_delta", self))])
                .with_current(json(current)),
            Self::KeyReused => {
                of(StatusCode::UNPROCESSABLE_ENTITY).of_kind("/problems/key-reused", "Idempotency-Key reused")
            }
            Self::KeyInUse => of(StatusCode::CONFLICT)
                .of_kind("/problems/key-in-use", "Idempotency-Key in use")
                .retry_after(RETRY_AFTER),
            Self::BodyTooLarge | Self::LineTooLong => of(StatusCode::PAYLOAD_TOO_LARGE),
            Self::Silent(_) => of(StatusCode::REQUEST_TIMEOUT),
            Self::MediaType { .. } => of(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            Self::NotFound(_) | Self::UnknownSku(_) | Self::KeyNotFound(_) => of(StatusCode::NOT_FOUND),
            Self::DuplicateSku => of(StatusCode::CONFLICT)
                .of_kind("/problems/duplicate-sku", "Duplicate sku")
                .with_errors([field_error(FieldFault::new("sku", self))]),
            Self::Busy | Self::TooManyBulks | Self::Held | Self::Lost => {
                of(StatusCode::SERVICE_UNAVAILABLE).retry_after(RETRY_AFTER)
            }
            Self::Database(error) => match Fault::of(error) {
                Fault::Away | Fault::Conflict => {
                    let detail =
                        format!("the database is away or busy; the change may or may not have been stored: {UNKNOWN}");
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(RETRY_AFTER)
                }
                Fault::Data | Fault::Ours => failed(),
            },
            Self::Unread(error) => match Fault::of(error) {
                Fault::Away | Fault::Conflict => {
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database is away or busy")
                        .retry_after(RETRY_AFTER)
                }
                Fault::Data | Fault::Ours => failed(),
            },
        }
    }

    /// Whether the database, or what leads to it, is gone, so that nothing else will be stored now either.
    pub(crate) fn is_away(&self) -> bool {
        match self {
            Self::Database(error) => Fault::of(error) == Fault::Away,
            Self::Lost => true,
            _ => false,
        }
    }

    /// Tells operators what clients are not told.
    pub(crate) fn log(&self) {
        let (Self::Database(cause) | Self::Unread(cause) | Self::NotLetIn(KeyRefusal::NotChecked(cause))) = self else {
            return;
        };
        if Fault::of(cause).is_passing() {
            tracing::warn!(%cause, "database_away");
        } else {
            tracing::error!(%cause, "request_failed");
        }
    }
}

impl IntoResponse for WriteError {
    fn into_response(self) -> Response {
        self.log();
        let mut answer = self.problem().into_response();
        match self {
            Self::MediaType { header, accepted } => {
                answer.headers_mut().insert(header, HeaderValue::from_static(accepted));
            }
            Self::Stale(current) => {
                answer.headers_mut().insert(header::ETAG, etag(current.version));
            }
            Self::NotLetIn(KeyRefusal::NoGoodKey) => {
                answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
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

fn json(product: &Product) -> serde_json::Value {
    serde_json::to_value(product).expect("a product has string keys and no failing serializer")
}

fn field_error(fault: FieldFault) -> FieldError {
    FieldError { pointer: fault.pointer, detail: fault.detail }
}
