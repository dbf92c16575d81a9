//! Every way a step can fail; each is tried again, so the variant only says what it waits for.

use std::error::Error;

use cache::CacheError;

#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("NATS is not connected")]
    Disconnected,
    /// The stream is not there yet, or JetStream has no leader.
    #[error("the consumer cannot be bound")]
    Unbound(#[source] async_nats::Error),
    /// The consumer was deleted, or the connection broke while waiting.
    #[error("the stream gave no events")]
    Fetch(#[source] async_nats::Error),
    #[error("events wait to be applied")]
    Cache(#[from] CacheError),
    #[error("a message that cannot be decoded waits to be kept as dead letter")]
    DeadLetter(#[source] async_nats::Error),
    #[error("what has been applied cannot be acked")]
    Ack(#[source] async_nats::Error),
}

/// An error and its causes on one line, for places that hold no more.
pub(crate) fn one_line(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(char::is_control, " ")
}
