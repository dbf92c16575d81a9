//! Pages that nodes share through Redis, each checked by every node's own log.

use catalog::Product;
use events::Epoch;
use serde_json::Value;
use testkit::holds;

use crate::node::{EPOCH, RunningNode, World, set_epoch, set_stock};

const FROM_REDIS: &str = "redis; hit, near; fwd=uri-miss; stored";
const PATH: &str = "/products?in_stock=true&count=exact&facets=brand,price";

async fn items(node: &RunningNode, path: &str) -> (Vec<Product>, String) {
    let answer = node.get(path).await;
    let page: Value = answer.json().unwrap();
    (serde_json::from_value(page["items"].clone()).unwrap(), answer.header("cache-status").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_one_node_has_read_is_answered_by_another_after_all_that_it_heard() {
    let mut world = World::new().await;
    let (one, other) = (world.page_node(&[]).await, world.page_node(&[]).await);
    let (lamp, desk) = (world.create("LAMP-1").await, world.create("DESK-1").await);
    one.has_seen(&desk).await;
    assert!(items(&one, PATH).await.1.ends_with("detail=replica; stored, near; fwd=uri-miss; stored"));

    let lamp = world.set_stock(&lamp, 9).await;
    other.has_seen(&lamp).await;

    assert_eq!(items(&other, PATH).await, (vec![lamp, desk], FROM_REDIS.to_owned()));
    assert_eq!(items(&other, PATH).await.1, "near; hit");
    assert_eq!(one.get(PATH).await.body, other.get(PATH).await.body);
    let hits = other.metric("freshet_page_requests_total{tier=\"redis\",result=\"hit\"}").await;
    assert_eq!(hits.to_bits(), 1_f64.to_bits());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_redis_that_has_moved_is_read_anew_and_replaced() {
    let mut world = World::new().await;
    let (one, other) = (world.page_node(&[]).await, world.page_node(&[]).await);
    let (lamp, desk) = (world.create("LAMP-1").await, world.create("DESK-1").await);
    let path = "/products?page=2&limit=1";
    one.has_seen(&desk).await;
    assert_eq!(items(&one, path).await.0, vec![desk.clone()]);

    world.delete(&lamp).await;
    holds(async || one.get(&format!("/products/{}", lamp.id)).await.status == 404).await;
    holds(async || other.get(&format!("/products/{}", lamp.id)).await.status == 404).await;

    let moved = (vec![], "redis; fwd=stale; detail=replica; stored, near; fwd=uri-miss; stored".to_owned());
    assert_eq!(items(&other, path).await, moved);
    assert_eq!(items(&one, path).await, (vec![], "redis; hit, near; fwd=stale; stored".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_of_redis_is_older_than_what_a_node_has_answered_or_of_another_epoch() {
    let mut world = World::new().await;
    let (one, other) = (world.page_node(&[]).await, world.page_node(&[]).await);
    let lamp = world.create("LAMP-1").await;
    one.has_seen(&lamp).await;
    assert_eq!(items(&one, "/products").await.0, vec![lamp.clone()]);
    // The log does not say so yet.
    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    world.databases.replicated().await;
    let path = format!("/products/{}", lamp.id);
    holds(async || {
        other.request(http::Method::GET, &path, (http::header::CACHE_CONTROL, "no-cache")).await.header("etag")
            == "\"2\""
    })
    .await;
    let (answered, status) = items(&other, "/products").await;
    assert_eq!((answered, &status[..16]), (vec![newer], "redis; fwd=stale"));

    let newest = set_stock(&mut world.primary, lamp.id, 4).await;
    set_epoch(&mut world.primary, Epoch(EPOCH.0 + 1)).await;
    world.databases.replicated().await;
    world.relay.epoch = Epoch(EPOCH.0 + 1);
    world.heartbeat().await;
    holds(async || items(&other, "/products").await.0 == [newest.clone()]).await;
    holds(async || items(&one, "/products").await.0 == [newest.clone()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_page_or_cannot_be_asked_for_is_passed_over() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let mut redis = redis::Client::open(world.redis.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    for path in ["/products", "/products?limit=1", "/products?limit=2"] {
        assert_eq!(items(&node, path).await.0, vec![lamp.clone()]);
    }
    let keys: Vec<String> = redis::cmd("KEYS").arg("freshet:page:*").query_async(&mut redis).await.unwrap();
    assert_eq!(keys.len(), 3);
    redis::cmd("SET").arg(&keys[0]).arg("no page").exec_async(&mut redis).await.unwrap();
    redis::cmd("SET").arg(&keys[1]).arg(r#"{"epoch":"1"}"#).exec_async(&mut redis).await.unwrap();
    redis::pipe().del(&keys[2]).lpush(&keys[2], "a list").exec_async(&mut redis).await.unwrap();

    let other = world.page_node(&[]).await;
    other.has_seen(&lamp).await;
    for path in ["/products", "/products?limit=1", "/products?limit=2"] {
        assert_eq!(items(&other, path).await.0, vec![lamp.clone()]);
    }
}
