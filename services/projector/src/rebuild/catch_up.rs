//! What changed while products were read: events whose refresh found nothing in Redis, because the product was only filled
//! after it.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use async_nats::Client;
use async_nats::connection::State;
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::context::ContextBuilder;
use events::{Message, PRODUCT_SUBJECTS, ProductEvent, STREAM};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep, timeout};

use super::Rebuild;
use crate::batch::newest;

/// Longest wait for a connection and for an answer of JetStream.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Between two looks at the connection.
const POLL: Duration = Duration::from_millis(20);
/// Events before the beginning that are read too, because the clocks of two machines differ.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(10);
/// Events applied in one round trip, as the projector does.
const REFRESH_MAX: usize = 100;

/// Applies every event since the source was opened to what Redis holds, up to the stream's present end; how many entries
/// it brought up to date. What comes after that is the running projector's: it finds the entries now.
///
/// # Errors
/// NATS or Redis does not answer.
pub async fn catch_up(nats: &Client, rebuild: &Rebuild) -> anyhow::Result<usize> {
    wait_for_connection(nats).await?;
    let jetstream = ContextBuilder::new().timeout(ANSWER_MAX).build(nats.clone());
    let fault = |error: async_nats::Error| anyhow!(error).context("the stream cannot be read");
    let stream = jetstream.get_stream(STREAM).await.map_err(|error| fault(error.into()))?;
    let deliver_policy = match rebuild.shown_until() {
        Some(until) => DeliverPolicy::ByStartTime { start_time: until - CLOCKS_DIFFER_MAX },
        None => DeliverPolicy::All,
    };
    let filter_subject = PRODUCT_SUBJECTS.to_owned();
    let config = pull::OrderedConfig { deliver_policy, filter_subject, ..Default::default() };
    let consumer = stream.create_consumer(config).await.map_err(|error| fault(error.into()))?;
    let mut pending = consumer.cached_info().num_pending;
    let mut messages = consumer.messages().await.map_err(|error| fault(error.into()))?;
    let (mut events, mut refreshed) = (Vec::new(), 0);
    while pending > 0 {
        let next = timeout(ANSWER_MAX, messages.next()).await.context("the stream gives no events")?;
        let Some(message) = next else { bail!("the stream ended") };
        let message = message.map_err(|error| fault(error.into()))?;
        pending -= 1;
        // The projector keeps what cannot be decoded.
        if let Ok(Message::Product(event)) = Message::decode(&message.payload) {
            events.push(*event);
        }
        if events.len() >= REFRESH_MAX || pending == 0 {
            refreshed += refresh(rebuild, &std::mem::take(&mut events)).await?;
        }
    }
    Ok(refreshed)
}

async fn refresh(rebuild: &Rebuild, events: &[ProductEvent]) -> anyhow::Result<usize> {
    rebuild.cache.refresh(&newest(events.iter())).await.context("entries wait to be brought up to date")
}

async fn wait_for_connection(nats: &Client) -> anyhow::Result<()> {
    let deadline = Instant::now() + ANSWER_MAX;
    while nats.connection_state() != State::Connected {
        if Instant::now() > deadline {
            bail!("NATS is not connected");
        }
        sleep(POLL).await;
    }
    Ok(())
}
