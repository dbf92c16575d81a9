//! What a node keeps near: answered from memory, kept up with the log, and never older than anything it has answered.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use testkit::holds;

use crate::node::{World, set_stock};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const HIT: &str = "near; hit";

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_product_follows_its_events_and_never_misses_because_it_changed() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let mut lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    assert_eq!(node.cache_status(lamp.id).await, HIT);

    for stock in 1..20 {
        lamp = world.set_stock(&lamp, stock).await;
        holds(async || {
            let answer = node.get(&format!("/products/{}", lamp.id)).await;
            assert_eq!(answer.header("cache-status"), HIT);
            answer.body[..] == lamp.to_json()[..]
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_answer_says_what_the_long_way_would_say() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);

    let hot = node.request(Method::GET, &path, (X_REQUEST_ID, "mine")).await;
    let held = HeaderMap::from_iter([
        (X_REQUEST_ID, HeaderValue::from_static("mine")),
        (header::IF_NONE_MATCH, HeaderValue::from_static("\"0\"")),
    ]);
    let long = node.request_with(Method::GET, &path, held).await;

    assert_eq!((hot.status, &hot.body), (long.status, &long.body));
    let headers = |mut headers: HeaderMap| {
        assert!(headers.remove("catalog-as-of").is_some() && headers.remove("date").is_some());
        headers
    };
    assert_eq!(headers(hot.headers), headers(long.headers.clone()));
    assert_eq!(long.header("cache-status"), HIT);
    let counted = "freshet_http_requests_total{route=\"/products/{id}\",method=\"GET\",status=\"200\"}";
    assert!(node.metric(counted).await >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_not_there_is_kept_near_too_until_it_is_created_or_after_it_is_deleted() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    let next = format!("/products/{}", lamp.id.get() + 1);
    holds(async || node.get(&next).await.header("cache-status") == HIT).await;
    let missing = node.get(&next).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(!missing.header("catalog-as-of").is_empty());

    world.create("LAMP-2").await;
    holds(async || node.get(&next).await.status == StatusCode::OK).await;

    node.has_seen(&lamp).await;
    world.delete(&lamp).await;
    holds(async || node.get(&format!("/products/{}", lamp.id)).await.status == StatusCode::NOT_FOUND).await;
    assert_eq!(node.cache_status(lamp.id).await, HIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_has_shown_is_not_answered_older_from_near() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    assert_eq!(node.cache_status(lamp.id).await, HIT);
    // Committed and replicated, and its event still on the way.
    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    world.databases.replicated().await;

    let list = node.get("/products?limit=1").await;

    assert!(String::from_utf8_lossy(&list.body).contains("\"version\":2"), "the replica is ahead of the log");
    assert_eq!(node.product(lamp.id).await, newer);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_gap_in_the_log_nothing_that_was_kept_is_answered() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    assert_eq!(node.cache_status(lamp.id).await, HIT);

    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    world.databases.replicated().await;
    world.relay.lose_one();
    world.heartbeat().await;

    holds(async || node.product(lamp.id).await == newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_is_silent_the_moment_stands_still_and_near_is_bypassed_in_the_end() {
    let mut world = World::new().await;
    let node = world.near_node(&["--near-silence-max-ms", "300"]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);
    world.heartbeat().await;
    holds(async || node.get(&path).await.header("cache-status") == HIT).await;
    let as_of = node.get(&path).await.header("catalog-as-of").to_owned();
    assert!(as_of.ends_with('Z') && as_of.len() == "2026-01-02T03:04:05.678Z".len(), "{as_of}");

    holds(async || node.get(&path).await.header("cache-status") == "redis; hit, near; fwd=bypass; detail=log-silent")
        .await;
    assert_eq!(node.get(&path).await.header("catalog-as-of"), as_of);

    world.heartbeat().await;
    holds(async || node.get(&path).await.header("catalog-as-of") > &as_of[..]).await;
    assert_eq!(node.cache_status(lamp.id).await, HIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_from_near_what_is_there() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let (one, two) = (world.create("LAMP-1").await, world.create("LAMP-2").await);
    node.has_seen(&one).await;
    let path = format!("/products?ids={},{}", one.id, two.id);

    assert!(node.get(&path).await.header("cache-status").ends_with("near; fwd=partial"));
    holds(async || node.get(&path).await.header("cache-status") == HIT).await;
    assert!(!node.get(&path).await.header("catalog-as-of").is_empty());
}
