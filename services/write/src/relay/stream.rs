//! The stream as the relay sees it: how it ends, what it holds after the mark, and publishing behind a fence.

use async_nats::HeaderMap;
use async_nats::header::{
    NATS_EXPECTED_LAST_MESSAGE_ID, NATS_EXPECTED_LAST_SEQUENCE, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID,
};
use async_nats::jetstream::stream::{Config, RawMessageErrorKind, Stream};
use async_nats::jetstream::{self, context};
use bytes::Bytes;
use events::Message;
use futures_util::{StreamExt, TryStreamExt};
use time::OffsetDateTime;
use uuid::Uuid;

use super::turn::RelayError;

/// The stream's settings as they are deployed. `max_bytes` holds some 3 million events of 1 KB with a heartbeat each, or
/// the heartbeats of five idle days (0.8 GiB a day), so it binds before `max_age`; `max_msg_size` is twice the largest
/// event that the limits on texts let through.
const CONFIG: &str = include_str!("../../../../nats/catalog.json");

/// Messages after the mark are looked up one by one, this many at a time: a full turn in a few round trips.
const LOOKUPS_AT_ONCE: usize = 64;

/// The last message of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tail {
    /// 0 for an empty stream.
    pub(super) sequence: u64,
    pub(super) id: Option<Uuid>,
    /// What the next message names as its previous one.
    pub(super) link: Option<Uuid>,
    pub(super) epoch: u64,
    /// The time of the last heartbeat of the relay's epoch, below which none may be announced.
    pub(super) announced: Option<OffsetDateTime>,
}

impl Tail {
    /// `last` is the message there, if it is one of ours.
    fn at(sequence: u64, last: Option<&Message>) -> Self {
        let epoch = last.map_or(0, |last| last.stamp().epoch.0);
        Self { sequence, id: last.map(Message::id), link: last.map(Message::link), epoch, announced: None }
    }

    /// Whether the stream ends with a message of ours that is of an earlier epoch.
    pub(super) fn is_before(&self, epoch: u64) -> bool {
        self.id.is_some() && self.epoch < epoch
    }
}

/// Opens the stream and reads how it ends, from the stream's leader; makes the stream if there is none.
pub(super) async fn learn(context: &jetstream::Context) -> Result<(Stream, Tail), RelayError> {
    let stream = match context.get_stream(events::STREAM).await {
        Ok(stream) => stream,
        Err(error) if is_not_found(&error) => {
            let config: Config = serde_json::from_str(CONFIG).expect("nats/catalog.json is a stream configuration");
            tracing::info!(stream = events::STREAM, "stream_created");
            context.create_stream(config).await.map_err(RelayError::stream)?
        }
        Err(error) => return Err(RelayError::stream(error)),
    };
    let state = stream.get_info().await.map_err(RelayError::stream)?.state;
    let last = message_at(&stream, state.last_sequence).await?;
    Ok((stream, Tail::at(state.last_sequence, last.as_ref())))
}

/// How the stream ends, by a single request.
pub(super) async fn end(stream: &Stream) -> Result<Tail, RelayError> {
    let message = stream.get_last_raw_message_by_subject(events::SUBJECTS).await.map_err(RelayError::stream)?;
    Ok(Tail::at(message.sequence, Message::decode(&message.payload).ok().as_ref()))
}

/// The message at a sequence; `None` if there is none, or none of ours.
pub(super) async fn message_at(stream: &Stream, sequence: u64) -> Result<Option<Message>, RelayError> {
    if sequence == 0 {
        return Ok(None);
    }
    match stream.get_raw_message(sequence).await {
        Ok(message) => Ok(Message::decode(&message.payload).ok()),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(RelayError::stream(error)),
    }
}

/// The ids of the messages of `epoch` from after the mark to the end: their rows are in the stream already.
pub(super) async fn ids_after(stream: &Stream, mark: u64, tail: &Tail) -> Result<Vec<Uuid>, RelayError> {
    futures_util::stream::iter(mark + 1..=tail.sequence)
        .map(|sequence| message_at(stream, sequence))
        .buffered(LOOKUPS_AT_ONCE)
        .try_filter_map(|message| async move {
            Ok(message.filter(|message| message.stamp().epoch.0 == tail.epoch).map(|message| message.id()))
        })
        .try_collect()
        .await
}

/// The time of the stream's last heartbeat, if that is of `epoch`: another primary's clock proves nothing of this one's.
pub(super) async fn last_announced(stream: &Stream, epoch: u64) -> Result<Option<OffsetDateTime>, RelayError> {
    match stream.get_last_raw_message_by_subject(events::HEARTBEAT_SUBJECT).await {
        Ok(message) => Ok(match Message::decode(&message.payload) {
            Ok(Message::Heartbeat { stamp, heartbeat, .. }) if stamp.epoch.0 == epoch => Some(heartbeat.t),
            _ => None,
        }),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(RelayError::stream(error)),
    }
}

/// A message ready to be published.
pub(super) struct Outgoing {
    pub(super) subject: String,
    pub(super) payload: Bytes,
}

/// Publishes all, pipelined, each only if the stream ends with the one before it, and waits for the answer to the last, which
/// says it of all: it cannot be stored without them. Returns the last sequence.
///
/// The expected sequence alone would be no fence for a pipeline: one foreign message at its head makes the first publish
/// fail and the second one fit. So each message also names its predecessor's `Nats-Msg-Id`. That id is new in every
/// attempt and serves as this link only: an answer "duplicate" is no proof that anything was stored.
pub(super) async fn publish(
    context: &jetstream::Context,
    tail: &Tail,
    mut messages: Vec<Outgoing>,
) -> Result<u64, RelayError> {
    let Some(last) = messages.pop() else { return Ok(tail.sequence) };
    let mut link = None;
    let mut expected = tail.sequence;
    let client = context.client();
    for message in messages {
        let headers = fenced(expected, &mut link);
        let sent = client.publish_with_headers(message.subject, headers, message.payload).await;
        sent.map_err(RelayError::stream)?;
        expected += 1;
    }
    let headers = fenced(expected, &mut link);
    let sent = context.publish_with_headers(last.subject, headers, last.payload).await;
    let answer = async { sent?.await }.await;
    match answer {
        Ok(ack) if ack.sequence == expected + 1 && !ack.duplicate => Ok(ack.sequence),
        Err(error) if error.kind() != context::PublishErrorKind::WrongLastSequence => Err(RelayError::stream(error)),
        _ => Err(RelayError::Fenced { expected: tail.sequence }),
    }
}

/// The headers of the message after the one at `expected` with the id in `link`, and of one more link.
fn fenced(expected: u64, link: &mut Option<String>) -> HeaderMap {
    let own_link = Uuid::new_v4().to_string();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/cloudevents+json");
    headers.insert(NATS_MESSAGE_ID, own_link.as_str());
    headers.insert(NATS_EXPECTED_STREAM, events::STREAM);
    headers.insert(NATS_EXPECTED_LAST_SEQUENCE, expected.to_string());
    if let Some(before) = link.replace(own_link) {
        headers.insert(NATS_EXPECTED_LAST_MESSAGE_ID, before);
    }
    headers
}

fn is_not_found(error: &context::GetStreamError) -> bool {
    match error.kind() {
        context::GetStreamErrorKind::JetStream(error) => {
            error.error_code() == async_nats::jetstream::ErrorCode::STREAM_NOT_FOUND
        }
        _ => false,
    }
}
