//! Every way a read can fail, and the only place where that becomes HTTP.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bootstrap::{FieldError, Problem};
use catalog::{CorruptRow, FieldFault, ProductId};
use freshness::{Rejection, TokenFault};

use crate::pages::QueryFault;

/// After this a source that was away or behind may well be back: replicas are looked at several times a second.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a read has no answer. It can be cloned, because everyone who waited for one attempt gets its outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error(transparent)]
    Query(#[from] QueryFault),
    /// The request's `Consistency-Token` cannot be honoured, now or ever.
    #[error("the header Consistency-Token {0}")]
    Token(TokenFault),
    #[error("there is no product {0}")]
    NotFound(ProductId),
    /// Only the primary could answer, and its budget for such reads is spent.
    #[error("the database is busy")]
    OverBudget(Duration),
    #[error("too many requests ask past the caches; without `Cache-Control: no-cache` this one can be answered")]
    PastOverBudget(Duration),
    #[error("no database can be reached")]
    Away(#[source] Option<Arc<sqlx::Error>>),
    /// Even the primary's answer is older than what this node has seen, as after a failover that lost changes.
    #[error("no database is as fresh as what this node has seen")]
    Behind,
    /// The log and the databases that could be asked lack a write that a token names.
    #[error("what the token names has not arrived here yet")]
    Unmet,
    /// Nothing was read within the time that a shared attempt has.
    #[error("no database answered in time")]
    Late,
    /// A search whose words match too much to be sorted in the time that a statement has.
    #[error("the query matches too much to be answered in time; narrow it by more words or filters")]
    TooMuch,
    /// Our fault, never the client's: the cause is logged, not sent.
    #[error("the database refused a query")]
    Database(#[source] Arc<sqlx::Error>),
    #[error("the database holds a product that is not valid")]
    Corrupt(#[from] CorruptRow),
    /// Our fault too: the task that read for everyone panicked.
    #[error("a shared read ended without an answer")]
    Lost,
}

impl ReadError {
    /// What a failed query means where no other source is left: 503 where a retry may help, 500 for our bugs.
    pub(crate) fn from_primary(error: sqlx::Error) -> Self {
        use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Tls, WorkerCrashed};
        let may_pass = match &error {
            Io(_) | Tls(_) | PoolTimedOut | PoolClosed | WorkerCrashed => true,
            // Connection, transaction conflict, resources, intervention of an operator (or the statement timeout), server.
            sqlx::Error::Database(cause) => cause
                .code()
                .is_some_and(|code| ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))),
            _ => false,
        };
        if may_pass { Self::Away(Some(Arc::new(error))) } else { Self::Database(Arc::new(error)) }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        use ReadError::{
            Away, Behind, Corrupt, Database, Late, Lost, NotFound, OverBudget, PastOverBudget, Query, Token, TooMuch,
            Unmet,
        };
        let text = error.to_string();
        match &error {
            Query(QueryFault::Malformed(_)) | Token(_) => Self::new(StatusCode::BAD_REQUEST, text),
            Query(QueryFault::Invalid(faults)) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, text).with_errors(
                faults.iter().cloned().map(|FieldFault { pointer, detail }| FieldError { pointer, detail }),
            ),
            NotFound(_) => Self::new(StatusCode::NOT_FOUND, text),
            OverBudget(wait) | PastOverBudget(wait) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text).retry_after(*wait)
            }
            Away(_) | Behind | Late | TooMuch | Unmet => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, text).retry_after(RETRY_AFTER)
            }
            Database(_) | Corrupt(_) | Lost => {
                tracing::error!(cause = &error as &dyn std::error::Error, "read_failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed; the request id is in its log")
            }
        }
    }
}

/// Why what a source has may not be answered; the next source may have better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is older than what this node knows.
    Old(Rejection),
    /// It may lack a write that the request's tokens name.
    Unmet,
    /// A token names what not even the primary has.
    Forged,
    /// A token may name what a failover has lost.
    MayBeLost,
}

impl From<Refusal> for ReadError {
    /// Of what the primary has: nobody has better.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Old(_) => Self::Behind,
            Refusal::Unmet => Self::Unmet,
            Refusal::Forged => Self::Token(TokenFault::FromTheFuture),
            Refusal::MayBeLost => Self::Token(TokenFault::MayBeLost),
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Old(rejection)
    }
}
