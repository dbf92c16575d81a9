//! `Cache-Control: no-cache`: read from the primary after the request has come, within a budget of its own.

use cache::Cache;
use client::Response;
use freshness::Token;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use sqlx::Connection;
use std::time::Duration;
use testkit::holds;

use crate::node::{EPOCH, NOWHERE, RunningNode, World, insert, lock_products, position, set_stock, until_waiting};

const PRIMARY_QUERIES: &str = "freshet_source_queries_total{source=\"primary\"}";

async fn reload(node: &RunningNode, path: &str) -> Response {
    node.request(Method::GET, path, (header::CACHE_CONTROL, "no-cache")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_reload_asks_the_primary_whatever_is_kept_and_what_it_finds_is_kept() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);
    assert_eq!(node.cache_status(lamp.id).await, "near; hit");
    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    let ordinary = node.request(Method::GET, &path, (header::CACHE_CONTROL, "max-age=0")).await;
    assert_eq!(ordinary.header("cache-status"), "near; hit", "an ordinary reload");

    let answer = reload(&node, &path).await;

    assert_eq!(answer.body[..], newer.to_json()[..]);
    let status = "redis; fwd=request; detail=primary; stored, near; fwd=request; stored";
    assert_eq!(answer.header("cache-status"), status);
    assert!(!answer.header("catalog-as-of").is_empty());
    let next = node.get(&path).await;
    assert_eq!((next.header("cache-status"), &next.body[..]), ("near; hit", &newer.to_json()[..]));
    let cache = Cache::new(world.redis.url(), Duration::from_hours(1)).unwrap();
    assert_eq!(cache.get(&[lamp.id]).await.unwrap()[0].as_ref().unwrap().version, newer.version);
    let held = HeaderMap::from_iter([
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::IF_NONE_MATCH, HeaderValue::from_static("\"2\"")),
    ]);
    assert_eq!(node.request_with(Method::GET, &path, held).await.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_searches_and_batches_can_be_forced_too() {
    let mut world = World::new().await;
    let node = world.near_node(&["--no-cache-reads-per-second", "1000"]).await;
    for number in 0..10 {
        let sku = format!("LAMP-{number}");
        let lamp = insert(&mut world.primary, &sku).await;
        let paths = [
            "/products?sort=-created_at&limit=1",
            &format!("/products/search?q={sku}"),
            &format!("/products?skus={sku}"),
            &format!("/products?ids={}", lamp.id),
        ];

        for path in paths {
            let answer = reload(&node, path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.problem());
            assert!(String::from_utf8_lossy(&answer.body).contains(&format!("\"{sku}\"")), "{path}");
            let status = answer.header("cache-status");
            assert!(status.starts_with("redis; fwd=request; detail=primary"), "{path}: {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_the_budget_is_503_and_takes_nothing_from_other_reads() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node_with(NOWHERE, &["--no-cache-reads-per-second", "1"]).await;
    let path = format!("/products/{}", lamp.id);
    assert_eq!(reload(&node, &path).await.status, StatusCode::OK);
    let mut last = reload(&node, &path).await;
    holds(async || {
        last = reload(&node, &path).await;
        last.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;

    assert_eq!(last.header("retry-after"), "1");
    assert!(last.problem().detail.contains("no-cache"), "{}", last.problem().detail);
    for _ in 0..50 {
        reload(&node, &path).await;
        let skus = node.get("/products?skus=LAMP-1").await;
        assert_eq!(skus.status, StatusCode::OK, "nobody but the primary can answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_who_wait_for_the_primary_share_its_answer() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    let path = format!("/products/{}", lamp.id);
    assert_eq!(reload(&node, &path).await.status, StatusCode::OK);
    let before = node.metric(PRIMARY_QUERIES).await;
    let mut lock = world.primary.begin().await.unwrap();
    lock_products(&mut lock).await;

    let release = async {
        until_waiting(&mut lock, 2).await;
        lock.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(join_all((0..30).map(|_| reload(&node, &path))), release);

    assert!(answers.iter().all(|answer| answer.body[..] == lamp.to_json()[..]), "{:?}", answers[0]);
    // Two that found a place, one for everybody who came while they were under way, and what came late.
    assert!(node.metric(PRIMARY_QUERIES).await - before < 15.0);
    assert!(answers.iter().any(|answer| answer.header("cache-status").contains("; collapsed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_beside_it_holds_as_well() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);
    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    let product = Some((newer.id, newer.version));
    let real = Token { epoch: EPOCH, position: position(&mut world.primary).await, product };
    let ask = async |token: Token| {
        let token = HeaderValue::try_from(token.to_text()).unwrap();
        let headers = [
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (HeaderName::from_static("consistency-token"), token),
        ];
        node.request_with(Method::GET, &path, HeaderMap::from_iter(headers)).await
    };

    let answer = ask(real).await;
    assert_eq!(answer.body[..], newer.to_json()[..]);
    assert!(answer.header("cache-status").starts_with("redis; fwd=request; detail=primary"));
    let future = Token { position: events::Position(u64::MAX >> 1), product: None, ..real };
    assert_eq!(ask(future).await.status, StatusCode::BAD_REQUEST);
    let later = Token { epoch: events::Epoch(EPOCH.0 + 1), ..real };
    assert_eq!(ask(later).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_primary_it_is_503_and_never_an_older_answer() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    world.databases.primary_url = NOWHERE.to_owned();
    let node = world.near_node(&[]).await;
    let path = format!("/products/{}", lamp.id);
    assert_eq!(node.get(&path).await.status, StatusCode::OK);

    let answer = reload(&node, &path).await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
}
