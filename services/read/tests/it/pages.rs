//! Pages that are kept: answered from memory for as long as nothing that was heard could have changed them.

use catalog::Product;
use events::Epoch;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use testkit::holds;

use crate::node::{EPOCH, RunningNode, World, position, set_epoch, set_stock};

const HIT: &str = "near; hit";
const FILLED: &str = "redis; fwd=uri-miss; detail=replica; stored, near; fwd=uri-miss; stored";
const REFILLED: &str = "redis; fwd=stale; detail=replica; stored, near; fwd=stale; stored";
const REPLICA_READS: &str = "freshet_source_queries_total{source=\"replica\"}";

fn items(body: &[u8]) -> Vec<Product> {
    let page: Value = serde_json::from_slice(body).unwrap();
    serde_json::from_value(page["items"].clone()).unwrap()
}

async fn status(node: &RunningNode, path: &str) -> String {
    node.get(path).await.header("cache-status").to_owned()
}

/// Waits until the node answers with these products, and says how it came to the answer.
async fn shows(node: &RunningNode, path: &str, products: &[&Product]) -> String {
    let mut status = String::new();
    holds(async || {
        let answer = node.get(path).await;
        answer.header("cache-status").clone_into(&mut status);
        items(&answer.body).iter().collect::<Vec<_>>() == products
    })
    .await;
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_read_once_and_follows_what_does_not_move_it() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let (mut lamp, desk) = (world.create("LAMP-1").await, world.create("DESK-1").await);
    let path = "/products?in_stock=true&sort=price";
    shows(&node, path, &[&lamp, &desk]).await;
    let reads = node.metric(REPLICA_READS).await;

    for stock in 5..15 {
        let etag = node.get(path).await.header("etag").to_owned();
        lamp = world.set_stock(&lamp, stock).await;
        assert_eq!(shows(&node, path, &[&lamp, &desk]).await, HIT);
        let held = node.request(Method::GET, path, (header::IF_NONE_MATCH, &etag)).await;
        assert_eq!(held.status, StatusCode::OK, "the tag follows the body");
    }

    assert_eq!(node.metric(REPLICA_READS).await.to_bits(), reads.to_bits(), "nothing was read");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_follows_products_that_enter_and_leave_it() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    let path = "/products?in_stock=true";
    shows(&node, path, &[&lamp]).await;
    // Now the log has shown all that the page may hold.
    world.heartbeat().await;
    world.heartbeat().await;

    let sold = world.set_stock(&lamp, 0).await;
    assert_eq!(shows(&node, path, &[]).await, HIT);
    let back = world.set_stock(&sold, 1).await;
    assert_eq!(shows(&node, path, &[&back]).await, HIT);
    let desk = world.create("DESK-1").await;
    assert_eq!(shows(&node, path, &[&back, &desk]).await, HIT);
    world.delete(&back).await;
    assert_eq!(shows(&node, path, &[&desk]).await, HIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_has_lost_more_products_than_it_knows_is_read_again() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let mut lamps = Vec::new();
    for at in 0..20 {
        lamps.push(world.create(&format!("LAMP-{at}")).await);
    }
    let path = "/products?in_stock=true&limit=2";
    shows(&node, path, &[&lamps[0], &lamps[1]]).await;
    let mut statuses = Vec::new();
    for at in 0..10 {
        world.set_stock(&lamps[at], 0).await;
        statuses.push(shows(&node, path, &[&lamps[at + 1], &lamps[at + 2]]).await);
    }
    let is_refilled = |status: &&String| status.ends_with("near; fwd=stale; stored");
    assert_eq!(statuses.iter().filter(is_refilled).count(), 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_at_hand_says_what_the_long_way_would_say() {
    const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let (lamp, desk) = (world.create("LAMP-1").await, world.create("DESK-1").await);
    for path in ["/products?limit=1&sort=price", "/products/search?q=lamp&limit=1"] {
        holds(async || status(&node, path).await == HIT).await;
        let hot = node.request(Method::GET, path, (X_REQUEST_ID, "mine")).await;
        let held = HeaderMap::from_iter([
            (X_REQUEST_ID, HeaderValue::from_static("mine")),
            (header::IF_NONE_MATCH, HeaderValue::from_static("\"0\"")),
        ]);
        let long = node.request_with(Method::GET, path, held).await;

        assert_eq!((hot.status, &hot.body), (long.status, &long.body));
        let headers = |mut headers: HeaderMap| {
            assert!(headers.remove("catalog-as-of").is_some() && headers.remove("date").is_some());
            headers
        };
        assert!(hot.headers.contains_key("link"));
        assert_eq!(headers(hot.headers), headers(long.headers));
    }
    drop((lamp, desk));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_mean_the_same_share_a_page() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    assert_eq!(status(&node, "/products?sort=id&in_stock=true&limit=20").await, FILLED);
    assert_eq!(status(&node, "/products?in_stock=true").await, HIT);
    assert_eq!(status(&node, "/products?in_stock=true&limit=21").await, FILLED);
    assert_eq!(status(&node, "/products/search?q=lamp++&in_stock=true").await, FILLED);
    assert_eq!(status(&node, "/products/search?q=+lamp&in_stock=true").await, HIT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_shows_no_product_older_than_this_node_has_answered() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    shows(&node, "/products", &[&lamp]).await;
    // The log does not say so yet.
    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    world.databases.replicated().await;
    let path = format!("/products/{}", lamp.id);
    let forced = node.request(Method::GET, &path, (header::CACHE_CONTROL, "no-cache")).await;
    assert_eq!(forced.header("etag"), "\"2\"");

    let page = node.get("/products").await;

    assert_eq!((items(&page.body), page.header("cache-status")), (vec![newer], REFILLED));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_gap_or_a_new_epoch_no_page_is_answered_that_was_kept() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    shows(&node, "/products", &[&lamp]).await;
    assert_eq!(status(&node, "/products").await, HIT);

    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    world.databases.replicated().await;
    world.relay.lose_one();
    world.heartbeat().await;
    // The replica need not be past the heartbeat yet.
    let refilled = shows(&node, "/products", &[&newer]).await;
    assert!(refilled.ends_with("near; fwd=stale; stored"), "{refilled}");

    let newest = set_stock(&mut world.primary, lamp.id, 4).await;
    set_epoch(&mut world.primary, Epoch(EPOCH.0 + 1)).await;
    world.databases.replicated().await;
    world.relay.epoch = Epoch(EPOCH.0 + 1);
    world.heartbeat().await;
    shows(&node, "/products", &[&newest]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_log_is_silent_the_moment_stands_still_and_pages_are_bypassed_in_the_end() {
    let mut world = World::new().await;
    let node = world.page_node(&["--near-silence-max-ms", "500"]).await;
    let lamp = world.create("LAMP-1").await;
    shows(&node, "/products", &[&lamp]).await;
    let as_of = node.get("/products").await.header("catalog-as-of").to_owned();
    assert!(!as_of.is_empty());

    let silent = "redis; fwd=bypass; detail=replica, near; fwd=bypass; detail=log-silent";
    holds(async || status(&node, "/products").await == silent).await;
    world.heartbeat().await;
    holds(async || node.get("/products").await.header("catalog-as-of") > &as_of[..]).await;
    holds(async || status(&node, "/products").await == HIT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_includes_what_a_token_names() {
    const TOKEN: HeaderName = HeaderName::from_static("consistency-token");
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    let path = "/products?in_stock=true";
    shows(&node, path, &[&lamp]).await;
    for stock in [0, 1, 0, 1, 2] {
        let now = set_stock(&mut world.primary, lamp.id, stock).await;
        let position = position(&mut world.primary).await;
        let token = freshness::Token { epoch: EPOCH, position, product: None }.to_text();

        let page = node.request(Method::GET, path, (TOKEN, &token)).await;

        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(items(&page.body), Vec::from_iter((stock > 0).then_some(now)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_for_which_the_tail_is_too_short_is_read_again() {
    let mut world = World::new().await;
    let node = world.page_node(&["--tail-bytes-max", "10000"]).await;
    let mut lamp = world.create("LAMP-1").await;
    let path = "/products?brand=Nobody";
    node.has_seen(&lamp).await;
    shows(&node, path, &[]).await;
    assert_eq!(status(&node, path).await, HIT);
    for stock in 10..40 {
        lamp = world.set_stock(&lamp, stock).await;
    }
    node.has_seen(&lamp).await;
    assert_eq!(status(&node, path).await, REFILLED);
    assert_eq!(status(&node, path).await, HIT);
}
