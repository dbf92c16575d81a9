//! A node serves nothing older than what it has seen: from no replica, and from no entry in Redis.

use bytes::Bytes;
use cache::{Cache, Content, Entry};
use catalog::{Product, Stock};
use events::{Epoch, Position};
use http::StatusCode;
use sqlx::Connection;
use std::time::Duration;
use testkit::holds;

use crate::node::{EPOCH, NOWHERE, World, insert, lock_products, position, set_epoch, set_stock, until_waiting};

const MESSAGES: &str = "freshet_log_messages_total";
const HOUR: Duration = Duration::from_hours(1);

fn entry(product: &Product, epoch: Epoch, read_at: Position) -> Entry {
    let content = Content::Product(Bytes::from(product.to_json()));
    Entry { epoch, version: product.version, read_at, content }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lacks_an_event_is_asked_and_not_believed() {
    let mut world = World::new().await;
    let (node, new) = world.node_ahead_of_its_replica().await;
    let cache = Cache::new(world.redis.url(), HOUR).unwrap();
    let rejected = "freshet_fills_rejected_total{tier=\"replica\",reason=\"below_floor\"}";
    let before = node.metric(rejected).await;
    redis_command(&world, &["DEL", &Entry::key(new.id)]).await;

    let answer = node.get(&format!("/products/{}", new.id)).await;

    assert_eq!(answer.body[..], new.to_json()[..]);
    assert_eq!(answer.header("cache-status"), "redis; fwd=uri-miss; detail=primary; stored");
    assert!(node.metric(rejected).await > before, "the replica was asked");
    assert_eq!(cache.get(&[new.id]).await.unwrap()[0].as_ref().unwrap().version, new.version);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_in_redis_is_served_only_if_the_log_vouches_for_it() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    let newer = world.set_stock(&lamp, 3).await;
    node.has_seen(&newer).await;
    let cache = Cache::new(world.redis.url(), HOUR).unwrap();
    let now = position(&mut world.primary).await;
    let forged = Product { version: newer.version.next(), ..newer.clone() };
    let refused = [
        ("below the floor", entry(&lamp, EPOCH, now)),
        ("of another epoch", entry(&forged, Epoch(EPOCH.0 + 1), now)),
        ("of an older epoch", entry(&forged, Epoch(EPOCH.0 - 1), now)),
        ("from before the start", entry(&forged, EPOCH, Position(1))),
    ];
    for (why, entry) in refused {
        redis_command(&world, &["DEL", &Entry::key(lamp.id)]).await;
        assert_eq!(cache.fill(&[(lamp.id, entry)]).await.unwrap(), 1);

        let answer = node.get(&format!("/products/{}", lamp.id)).await;

        assert_eq!(answer.body[..], newer.to_json()[..], "{why}");
        assert!(answer.header("cache-status").starts_with("redis; fwd=stale; detail=replica"), "{why}");
    }
    let admitted = entry(&forged, EPOCH, now);
    redis_command(&world, &["DEL", &Entry::key(lamp.id)]).await;
    cache.fill(&[(lamp.id, admitted)]).await.unwrap();
    assert_eq!(node.product(lamp.id).await, forged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_never_overwrites_a_newer_entry() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    let cache = Cache::new(world.redis.url(), HOUR).unwrap();
    // Of an epoch that this node has not heard of: never served here, and newer all the same.
    let newer = entry(&lamp, Epoch(EPOCH.0 + 1), position(&mut world.primary).await);
    cache.fill(&[(lamp.id, newer.clone())]).await.unwrap();

    let answer = node.get(&format!("/products/{}", lamp.id)).await;

    assert_eq!(answer.body[..], lamp.to_json()[..]);
    assert_eq!(answer.header("cache-status"), "redis; fwd=stale; detail=replica");
    assert_eq!(cache.get(&[lamp.id]).await.unwrap(), [Some(newer)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_voids_what_redis_holds_and_a_database_of_the_old_one_is_not_believed() {
    let mut world = World::new().await;
    let (frozen, mut replica) = world.frozen_replica().await;
    let lamp = world.create("LAMP-1").await;
    insert(&mut replica, "LAMP-1").await;
    let node = world.node_with(&frozen.primary_url, &[]).await;
    assert_eq!(node.product(lamp.id).await.version, lamp.version);
    assert_eq!(node.cache_status(lamp.id).await, "redis; hit");

    let next = Epoch(EPOCH.0 + 5);
    set_epoch(&mut world.primary, next).await;
    let lamp = set_stock(&mut world.primary, lamp.id, 1).await;
    world.relay.epoch = next;
    world.heartbeat().await;

    let path = format!("/products/{}", lamp.id);
    holds(async || node.get(&path).await.body[..] == lamp.to_json()[..]).await;
    assert_eq!(node.cache_status(lamp.id).await, "redis; hit");
    assert_eq!(node.product(lamp.id).await, lamp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_has_lost_what_the_node_has_seen_is_503_not_stale() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    // An event whose change no database has, as after a failover that the relay has not noticed yet.
    let lost = Product { version: lamp.version.next(), ..lamp.clone() };
    let now = position(&mut world.primary).await;
    world.relay.changed(Some(&lamp), &lost, now).await;

    let path = format!("/products/{}", lamp.id);
    holds(async || node.get(&path).await.status == StatusCode::SERVICE_UNAVAILABLE).await;

    let answer = node.get(&path).await;
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.header("content-type"), "application/problem+json");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_old_while_the_primary_is_asked_is_asked_for_again() {
    let mut world = World::new().await;
    let node = world.node_with(NOWHERE, &[]).await;
    let paths = [
        ("/products/999", "/products/1"),
        ("/products?ids=999", "/products?ids=2"),
        ("/products?skus=NONE", "/products?skus=LAMP-3"),
        ("/products?sort=name", "/products?sort=name"),
    ];
    for (number, (alike, path)) in paths.into_iter().enumerate() {
        // Its statement is prepared then, which would wait for the lock too.
        node.get(alike).await;
        let old = world.create(&format!("LAMP-{}", number + 1)).await;
        let new = Product { version: old.version.next(), stock: Stock::try_from(3).unwrap(), ..old.clone() };
        let (mut other, mut observer) = (world.databases.primary().await, world.databases.primary().await);
        let mut holder = world.primary.begin().await.unwrap();
        lock_products(&mut holder).await;

        let change = async {
            until_waiting(&mut observer, 1).await;
            // Between the reader's first look and its second.
            let commit = async {
                let mut change = other.begin().await.unwrap();
                lock_products(&mut change).await;
                assert_eq!(set_stock(&mut change, old.id, 3).await, new);
                change.commit().await.unwrap();
            };
            let release = async {
                until_waiting(&mut observer, 2).await;
                let seen = node.metric(MESSAGES).await;
                let now = position(&mut holder).await;
                world.relay.changed(Some(&old), &new, now).await;
                holds(async || node.metric(MESSAGES).await > seen).await;
                holder.rollback().await.unwrap();
            };
            tokio::join!(commit, release);
        };
        let (answer, ()) = tokio::join!(node.get(path), change);

        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let body = String::from_utf8_lossy(&answer.body);
        assert!(body.contains(&*String::from_utf8_lossy(&new.to_json())), "{path}: {body}");
    }
}

async fn redis_command(world: &World, words: &[&str]) {
    let client = redis::Client::open(world.redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(words[0]).arg(&words[1..]).exec_async(&mut connection).await.unwrap();
}
