//! Messages that cannot be decoded: kept whole in a stream of their own, with the reason, for people to look at.

use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Message, stream};
use events::{DEAD_LETTER_STREAM, DecodeError, dead_letter_subject};

use crate::consumer::CONSUMER;
use crate::error::one_line;

/// The stream's settings as they are deployed.
const CONFIG: &str = include_str!("../../../nats/catalog_dlq.json");

/// Headers of a dead letter.
const REASON: &str = "Dead-Letter-Reason";
const SUBJECT: &str = "Dead-Letter-Subject";
const SEQUENCE: &str = "Dead-Letter-Sequence";

/// A reason may quote the message, and must still fit the stream beside the largest payload.
const REASON_CHARS_MAX: usize = 500;

/// Why a message is no product event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undecodable {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("a heartbeat on the subject of a product")]
    Misplaced,
}

impl Undecodable {
    /// The words in metrics.
    pub(crate) const WORDS: [&str; 4] = ["malformed", "unknown_type", "contradiction", "misplaced"];

    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Decode(DecodeError::Json(_)) => Self::WORDS[0],
            Self::Decode(DecodeError::UnknownType(_)) => Self::WORDS[1],
            Self::Decode(DecodeError::Contradiction { .. }) => Self::WORDS[2],
            Self::Misplaced => Self::WORDS[3],
        }
    }

    fn text(&self) -> String {
        one_line(self).chars().take(REASON_CHARS_MAX).collect()
    }
}

/// Makes the stream unless it exists; one that exists keeps what its operators have set.
pub(crate) async fn open(jetstream: &jetstream::Context) -> Result<(), async_nats::Error> {
    let config: stream::Config =
        serde_json::from_str(CONFIG).expect("a test reads nats/catalog_dlq.json as a stream configuration");
    jetstream.get_or_create_stream(config).await?;
    Ok(())
}

/// Stores a copy of the message, and returns once the stream has it.
pub(crate) async fn keep(
    jetstream: &jetstream::Context,
    message: &Message,
    reason: &Undecodable,
) -> Result<(), async_nats::Error> {
    // It may have been deleted since it was made; dead letters are rare enough to look each time.
    open(jetstream).await?;
    let sequence = message.info()?.stream_sequence;
    let letter = PublishMessage::build()
        .payload(message.payload.clone())
        .header(REASON, reason.text())
        .header(SUBJECT, message.subject.as_str())
        .header(SEQUENCE, sequence.to_string())
        .expected_stream(DEAD_LETTER_STREAM);
    jetstream.send_publish(dead_letter_subject(CONSUMER), letter).await?.await?;
    tracing::warn!(reason = reason.word(), sequence, subject = message.subject.as_str(), "dead_letter_kept");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_streams_settings_are_a_configuration() {
        let config: stream::Config = serde_json::from_str(CONFIG).expect("a configuration");
        assert_eq!(config.name, DEAD_LETTER_STREAM);
        assert_eq!(config.subjects, ["catalog.dlq.>"]);
    }

    #[test]
    fn a_reason_fits_a_header_whatever_the_message_says() {
        let malformed =
            events::Message::decode(b"{\"specversion\":\"1.0\",\"id\":\"a\\r\\nX: b\"}").expect_err("no event");
        let text = Undecodable::from(malformed).text();
        assert!(text.starts_with("not a CloudEvent of this catalogue: "), "{text}");
        assert!(!text.contains(char::is_control), "{text:?}");
        let endless = Undecodable::from(DecodeError::UnknownType("x".repeat(10_000))).text();
        assert_eq!(endless.len(), REASON_CHARS_MAX);
    }
}
