//! Follows the whole stream for the auditor, which needs no more than the present: what it misses it does not judge.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::ContextBuilder;
use events::{Message, STREAM};
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use super::heard::Heard;

/// Heard at the beginning: the recent history of products, and the end of the last epoch.
const LOOK_BACK: Duration = Duration::from_mins(1);
/// A hundred heartbeats: after such a silence the stream is subscribed to anew, for it may be another one.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Longest wait for an answer of JetStream.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Between two attempts to subscribe.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// So soon after a subscription a change may have been published while the auditor heard nothing.
const LIVE_AFTER: Duration = Duration::from_secs(2);

/// Follows for ever.
pub(super) async fn follow(nats: Client, heard: Arc<Heard>) {
    let jetstream = ContextBuilder::new().timeout(ANSWER_MAX).build(nats);
    loop {
        match timeout(ANSWER_MAX, subscribe(&jetstream)).await {
            Ok(Ok(messages)) => listen(messages, &heard).await,
            Ok(Err(error)) => tracing::debug!(%error, "audit_stream_not_reached"),
            Err(_) => tracing::debug!("audit_stream_not_reached"),
        }
        sleep(RETRY_DELAY).await;
    }
}

async fn subscribe(jetstream: &jetstream::Context) -> Result<pull::Ordered, async_nats::Error> {
    let deliver_policy = DeliverPolicy::ByStartTime { start_time: OffsetDateTime::now_utc() - LOOK_BACK };
    let config = pull::OrderedConfig { deliver_policy, ..Default::default() };
    let stream = jetstream.get_stream(STREAM).await?;
    Ok(stream.create_consumer(config).await?.messages().await?)
}

/// Listens until the subscription is of no more use.
async fn listen(mut messages: pull::Ordered, heard: &Heard) {
    heard.begin_again();
    let begun = Instant::now();
    let mut is_caught_up = false;
    while let Ok(Some(Ok(message))) = timeout(SILENCE_MAX, messages.next()).await {
        is_caught_up |= message.info().is_ok_and(|info| info.pending == 0);
        let is_live = is_caught_up && begun.elapsed() >= LIVE_AFTER;
        // What cannot be decoded is a dead letter, and the projector's.
        if let Ok(message) = Message::decode(&message.payload) {
            heard.hear(&message, is_live);
        }
    }
}
