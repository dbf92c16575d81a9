//! The durable consumer that all projectors share: bound when needed, asked for one batch at a time.

use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::{self, Message};
use events::{PRODUCT_SUBJECTS, STREAM};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::dead_letters;
use crate::error::ProjectError;

/// The durable name, also in the subject of dead letters.
pub(crate) const CONSUMER: &str = "projector";

/// How long the server waits for an answer to a message before it gives it to another projector. Longer than any
/// pause of a living one, which asks for more time while Redis is away.
pub const ACK_WAIT: Duration = Duration::from_secs(5);

/// Messages in hand at a time: enough to make a round trip to Redis cheap, little to repeat after a crash.
pub(crate) const BATCH_MAX: usize = 500;

/// Eight projectors may hold a full batch each before one of them waits for another's acks.
const ACK_PENDING_MAX: i64 = 8 * 500;

/// How long the server keeps a request while there is no event.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// The server says when a request has ended; one that says nothing for so long has lost the request or the consumer.
const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// Longest wait for an answer of JetStream's API: a request lost in a restart is soon made again.
const API_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Consumer {
    pub(crate) jetstream: jetstream::Context,
    ack_wait: Duration,
    /// `None` until bound, and again after anything that may mean that it is gone.
    bound: Option<PullConsumer>,
}

impl Consumer {
    pub(crate) fn new(nats: Client, ack_wait: Duration) -> Self {
        let jetstream = ContextBuilder::new().timeout(API_TIMEOUT).ack_timeout(API_TIMEOUT).build(nats);
        Self { jetstream, ack_wait, bound: None }
    }

    /// At most [`BATCH_MAX`] messages, at once if there is one; none if none comes within [`FETCH_WAIT`].
    pub(crate) async fn fetch(&mut self) -> Result<Vec<Message>, ProjectError> {
        // Requests made while disconnected would be sent later, and their messages delivered to nobody.
        if !self.is_connected() {
            return Err(ProjectError::Disconnected);
        }
        let consumer = match self.bound.take() {
            Some(consumer) => consumer,
            None => self.bind().await.map_err(ProjectError::Unbound)?,
        };
        let mut messages = Vec::new();
        match fetch_into(&mut messages, &consumer).await {
            Ok(()) => self.bound = Some(consumer),
            // What has been delivered is in hand; the next fetch binds again.
            Err(_) if !messages.is_empty() => {}
            Err(error) => return Err(ProjectError::Fetch(error)),
        }
        Ok(messages)
    }

    /// How many events of the stream were never delivered; `None` if that cannot be known now.
    pub(crate) async fn pending(&self) -> Option<u64> {
        let consumer = self.bound.as_ref().filter(|_| self.is_connected())?;
        consumer.get_info().await.ok().map(|info| info.num_pending)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.jetstream.client().connection_state() == State::Connected
    }

    pub(crate) const fn ack_wait(&self) -> Duration {
        self.ack_wait
    }

    /// The stream itself is made by the relay's leader; until then this fails.
    async fn bind(&self) -> Result<PullConsumer, async_nats::Error> {
        dead_letters::open(&self.jetstream).await?;
        let config = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            description: Some("Refreshes what Redis holds".to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.ack_wait,
            // A decodable event is never given up.
            max_deliver: -1,
            max_ack_pending: ACK_PENDING_MAX,
            filter_subject: PRODUCT_SUBJECTS.to_owned(),
            ..pull::Config::default()
        };
        let consumer = self.jetstream.create_consumer_on_stream(config, STREAM).await?;
        tracing::info!(stream = STREAM, consumer = CONSUMER, "consumer_bound");
        Ok(consumer)
    }
}

/// A request with both `no_wait` and `expires` ends with the first messages, however few, or else when it expires.
async fn fetch_into(messages: &mut Vec<Message>, consumer: &PullConsumer) -> Result<(), async_nats::Error> {
    let mut batch = consumer.fetch().max_messages(BATCH_MAX).expires(FETCH_WAIT).messages().await?;
    while let Some(message) = timeout(SILENCE_MAX, batch.next()).await? {
        messages.push(message?);
    }
    Ok(())
}
