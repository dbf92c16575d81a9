//! A stream, a Redis and products to change.

use std::time::Duration;

use async_nats::jetstream::{self, consumer};
use cache::{Cache, Content, Entry};
use catalog::{Product, ProductId};
use events::{Epoch, Position, STREAM};
use freshet_projector::Projector;
use testkit::{NatsServer, Publisher, RedisServer, eventually, nats, redis};

pub(crate) const EPOCH: Epoch = Epoch(1_700_000_000_000);

/// Longer than any test, so that no message comes again by itself.
const NEVER: Duration = Duration::from_hours(1);

const TTL: Duration = Duration::from_hours(1);

pub(crate) struct Stage {
    pub(crate) nats: NatsServer,
    pub(crate) redis: RedisServer,
    pub(crate) publisher: Publisher,
    pub(crate) cache: Cache,
}

impl Stage {
    pub(crate) async fn set() -> Self {
        let (nats, redis) = (nats(), redis());
        let publisher = Publisher::new(nats.url(), EPOCH).await;
        let cache = Cache::new(redis.url(), TTL).unwrap();
        Self { nats, redis, publisher, cache }
    }

    pub(crate) async fn projector(&self) -> Projector {
        self.projector_with(NEVER).await
    }

    pub(crate) async fn projector_with(&self, ack_wait: Duration) -> Projector {
        let nats = async_nats::connect(self.nats.url()).await.unwrap();
        Projector::new(nats, Cache::new(self.redis.url(), TTL).unwrap(), ack_wait)
    }

    /// Puts the product into Redis as a read node would.
    pub(crate) async fn hold(&self, product: &Product, position: u64) {
        let content = Content::Product(product.to_json().into());
        let entry = Entry { epoch: EPOCH, version: product.version, read_at: Position(position), content };
        eventually(async || self.cache.fill(&[(product.id, entry.clone())]).await.ok()).await;
    }

    pub(crate) async fn held(&self, id: ProductId) -> Option<Entry> {
        self.cache.get(&[id]).await.unwrap().remove(0)
    }

    /// The version that Redis holds, if it holds any and answers.
    pub(crate) async fn held_version(&self, id: ProductId) -> Option<i64> {
        Some(self.cache.get(&[id]).await.ok()?.remove(0)?.version.get())
    }

    pub(crate) async fn jetstream(&self) -> jetstream::Context {
        jetstream::new(async_nats::connect(self.nats.url()).await.unwrap())
    }

    /// What the server says of the projectors' consumer.
    pub(crate) async fn consumer(&self) -> consumer::Info {
        let stream = self.jetstream().await.get_stream(STREAM).await.unwrap();
        stream.consumer_info("projector").await.unwrap()
    }
}

/// Steps until `count` messages have been taken, over failures; returns how many steps took any.
pub(crate) async fn take(projector: &mut Projector, count: usize) -> usize {
    let (mut taken, mut steps) = (0, 0);
    eventually(async || {
        let step = projector.project_pending().await.unwrap_or(0);
        taken += step;
        steps += usize::from(step > 0);
        (taken >= count).then_some(())
    })
    .await;
    assert_eq!(taken, count);
    steps
}

/// A lamp at a version; its price tells the version.
pub(crate) fn lamp(id: i64, version: i64) -> Product {
    let product = format!(
        r#"{{"id":{id},"sku":"LAMP-{id}","name":"Lamp","description":null,"brand":null,"category":null,
            "image_url":null,"price":"{version}.00","currency":"USD","stock":4,"version":{version},
            "created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06Z"}}"#
    );
    serde_json::from_str(&product).unwrap()
}
