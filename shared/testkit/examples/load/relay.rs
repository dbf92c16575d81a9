//! What the way of a change costs at least: a message through JetStream, and a SET of it in Redis.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use redis::aio::ConnectionManager;
use serde_json::{Value, json};
use tokio::time::{sleep_until, timeout};

use crate::figures::quantiles;
use crate::schedule::Schedule;

/// On the server of the catalogue, and gone afterwards.
const STREAM: &str = "BENCH";
const SUBJECT: &str = "bench.message";
/// Longest wait for the next message or an answer; after it something was lost.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Seconds after which Redis forgets what was set.
const KEPT_SECONDS: u64 = 60;

#[derive(clap::Args)]
pub(crate) struct Relay {
    #[arg(long)]
    nats: String,
    #[arg(long)]
    redis: String,
    /// Of one message
    #[arg(long)]
    bytes: usize,
    #[command(flatten)]
    schedule: Schedule,
}

impl Relay {
    pub(crate) async fn run(&self) -> Result<Value> {
        let jetstream = jetstream::new(async_nats::connect(&self.nats).await?);
        // Left by a run that was interrupted, if it is there at all.
        let _ = jetstream.delete_stream(STREAM).await;
        let stream = jetstream
            .create_stream(stream::Config {
                name: STREAM.to_owned(),
                subjects: vec![SUBJECT.to_owned()],
                ..Default::default()
            })
            .await?;
        let config = pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..Default::default() };
        let messages = stream.create_consumer(config).await?.messages().await?;
        let redis = ConnectionManager::new(redis::Client::open(self.redis.as_str())?).await?;
        let begun = Instant::now();
        let receiving = tokio::spawn(receive(messages, redis, begun, self.schedule.count()));
        self.publish(&jetstream, begun).await?;
        let elapsed = begun.elapsed();
        let times = receiving.await??;
        jetstream.delete_stream(STREAM).await?;
        #[expect(clippy::cast_precision_loss, reason = "no run sends 2^53 messages")]
        let per_second = times.len() as f64 / elapsed.as_secs_f64();
        Ok(json!({ "per_second": per_second, "latency": quantiles(times) }))
    }

    async fn publish(&self, jetstream: &jetstream::Context, begun: Instant) -> Result<()> {
        let mut answers = Vec::new();
        for number in 0..self.schedule.count() {
            sleep_until(self.schedule.due(begun, number).into()).await;
            let mut payload = vec![b' '; self.bytes.max(8)];
            let sent_at = u64::try_from(begun.elapsed().as_nanos())?;
            payload[..8].copy_from_slice(&sent_at.to_be_bytes());
            answers.push(tokio::spawn(jetstream.publish(SUBJECT, payload.into()).await?.into_future()));
        }
        for answer in answers {
            timeout(ANSWER_MAX, answer).await???;
        }
        Ok(())
    }
}

/// Sets each message in Redis as it comes, and takes its time when Redis has confirmed.
async fn receive(
    mut messages: pull::Ordered,
    redis: ConnectionManager,
    begun: Instant,
    count: u64,
) -> Result<Vec<Duration>> {
    let times = Arc::new(Mutex::new(Vec::new()));
    let mut sets = Vec::new();
    for number in 0..count {
        let message = timeout(ANSWER_MAX, messages.next()).await?.context("the consumer ended")??;
        let sent_at = message.payload.first_chunk().context("a message is shorter than it was sent")?;
        let sent_at = Duration::from_nanos(u64::from_be_bytes(*sent_at));
        let (times, mut redis) = (Arc::clone(&times), redis.clone());
        sets.push(tokio::spawn(async move {
            let mut set = redis::cmd("SET");
            set.arg(format!("bench:{number}")).arg(message.payload.as_ref()).arg("EX").arg(KEPT_SECONDS);
            set.query_async::<()>(&mut redis).await?;
            let time = begun.elapsed().saturating_sub(sent_at);
            times.lock().unwrap_or_else(PoisonError::into_inner).push(time);
            Ok::<_, redis::RedisError>(())
        }));
    }
    for set in sets {
        timeout(ANSWER_MAX, set).await???;
    }
    let times = std::mem::take(&mut *times.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(times.len() as u64 == count, "{} of {count} messages were set", times.len());
    Ok(times)
}
