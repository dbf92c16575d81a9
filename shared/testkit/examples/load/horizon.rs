//! A stream as a relay would have left it after ten busy minutes, and the least that a consumer can do with it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, pull};
use async_nats::jetstream::{self, stream};
use catalog::{ListFields, Product, ProductId, Version};
use events::{Change, Envelope, Epoch, Heartbeat, Position, STREAM, Stamp};
use futures_util::StreamExt;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::timeout;
use uuid::Uuid;

use crate::schedule::dice;

/// Changed evenly.
const PRODUCTS: u64 = 10_000;
/// Fewer bytes than Postgres writes for a change, so that the follower's databases, new as they may be, are past them all.
const POSITIONS_PER_CHANGE: u64 = 10;
/// One in so many messages is waited for, so that the server is not sent more than it can store.
const CONFIRMED_EVERY: u64 = 500;
/// A message takes microseconds; after this the server hangs.
const ANSWER_MAX: Duration = Duration::from_secs(10);

#[derive(clap::Args)]
pub(crate) struct Publish {
    #[arg(long)]
    nats: String,
    /// The epoch of the databases that the follower reads
    #[arg(long)]
    epoch: u64,
    /// A product's JSON, which all the others are like
    #[arg(long)]
    product: PathBuf,
    #[arg(long)]
    changes: u64,
    /// Changes between two heartbeats
    #[arg(long)]
    per_heartbeat: u64,
}

#[derive(clap::Args)]
pub(crate) struct Count {
    #[arg(long)]
    nats: String,
    #[arg(long)]
    messages: u64,
}

impl Publish {
    pub(crate) async fn run(&self) -> Result<Value> {
        let jetstream = jetstream::new(async_nats::connect(&self.nats).await?);
        let config: stream::Config = serde_json::from_str(include_str!("../../../../nats/catalog.json"))?;
        let mut stream = jetstream.create_stream(config).await?;
        let mut product: Product = serde_json::from_slice(&fs::read(&self.product)?)?;
        let mut versions = vec![Version::ABSENT.next(); usize::try_from(PRODUCTS)?];
        let (mut previous, mut messages) = (None, 0);
        for number in 0..self.changes {
            let position = Position((number + 1) * POSITIONS_PER_CHANGE);
            let mut stamp = |id| Stamp { epoch: Epoch(self.epoch), position, previous: previous.replace(id) };
            let chosen = dice(number) % PRODUCTS;
            let version = &mut versions[usize::try_from(chosen)?];
            *version = version.next();
            product.id = ProductId::try_from(i64::try_from(chosen)? + 1).context("ids begin at 1")?;
            product.version = *version;
            let id = Uuid::new_v4();
            let (subject, payload) = event(id, stamp(id), &product);
            send(&jetstream, subject, payload, messages).await?;
            messages += 1;
            if (number + 1).is_multiple_of(self.per_heartbeat) {
                let id = Uuid::new_v4();
                let beat = Heartbeat { t: OffsetDateTime::now_utc(), h: position };
                let (subject, payload) = beat.to_message(id, stamp(id));
                send(&jetstream, subject.to_owned(), payload, messages).await?;
                messages += 1;
            }
        }
        // Not confirmed by itself: what is after the last message that was is stored when the server has answered this.
        let stored = jetstream.publish(events::HEARTBEAT_SUBJECT, last(self, previous).into()).await?.await?;
        messages += 1;
        let held = stream.info().await?.state.messages;
        ensure!(held == messages && stored.sequence == messages, "the stream holds {held} of {messages} messages");
        Ok(json!({ "messages": messages }))
    }
}

impl Count {
    pub(crate) async fn run(&self) -> Result<Value> {
        let jetstream = jetstream::new(async_nats::connect(&self.nats).await?);
        let config = pull::OrderedConfig { deliver_policy: DeliverPolicy::All, ..Default::default() };
        let consumer = jetstream.get_stream(STREAM).await?.create_consumer(config).await?;
        let mut messages = consumer.messages().await?;
        for _ in 0..self.messages {
            timeout(ANSWER_MAX, messages.next()).await?.context("the consumer ended")??;
        }
        Ok(json!({ "messages": self.messages }))
    }
}

fn event(id: Uuid, stamp: Stamp, product: &Product) -> (String, Vec<u8>) {
    let change = Change {
        id: product.id,
        version: product.version,
        before: Some(ListFields::from(product)),
        after: Some(product.clone()),
        words: None,
    };
    let kind = change.kind();
    let subject = kind.subject(product.id);
    let of = Some(product.id.to_string());
    (subject, Envelope::new(id, &kind.event_type(), of, OffsetDateTime::now_utc(), stamp, change).to_json())
}

/// The heartbeat at the end.
fn last(publish: &Publish, previous: Option<Uuid>) -> Vec<u8> {
    let position = Position((publish.changes + 1) * POSITIONS_PER_CHANGE);
    let stamp = Stamp { epoch: Epoch(publish.epoch), position, previous };
    Heartbeat { t: OffsetDateTime::now_utc(), h: position }.to_message(Uuid::new_v4(), stamp).1
}

async fn send(jetstream: &jetstream::Context, subject: String, payload: Vec<u8>, number: u64) -> Result<()> {
    if number.is_multiple_of(CONFIRMED_EVERY) {
        timeout(ANSWER_MAX, jetstream.publish(subject, payload.into()).await?).await??;
    } else {
        jetstream.client().publish(subject, payload.into()).await?;
    }
    Ok(())
}
