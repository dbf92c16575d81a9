//! A change is seen on every read node, and nothing older is seen after it: on a whole stack of real processes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use cache::Entry;
use catalog::{Product, Version};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use testkit::api::{create, metric, read, set_price, try_read, try_set_price};
use testkit::{Options, holds, stack};

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_the_token_of_a_write_includes_it_on_any_node_at_once() {
    let shop = tokio::task::block_in_place(|| stack(Options::default(), &[]));
    let (gateway, nodes) = (shop.gateway(), shop.read_nodes());
    let id = create(&gateway, "LAMP-1").await.id;
    for round in 0..200 {
        let answer = try_set_price(&gateway, id, &format!("{}.00", 1 + round)).await.unwrap();
        let patched: Product = answer.json().unwrap();
        let token = answer.headers["consistency-token"].clone();
        for node in &nodes {
            for path in [format!("/products/{id}"), format!("/products?ids={id}"), "/products?limit=1".to_owned()] {
                let token = HeaderMap::from_iter([(HeaderName::from_static("consistency-token"), token.clone())]);
                let read = node.request(Method::GET, &path, token, "").await.unwrap();
                assert_eq!(read.status, StatusCode::OK, "{path}: {:?}", read.problem());
                let text = String::from_utf8_lossy(&read.body);
                assert!(text.contains(&format!("\"version\":{},", patched.version)), "round {round} {path}: {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_through_the_gateway_is_seen_on_every_read_node() {
    let shop = tokio::task::block_in_place(|| stack(Options::default(), &[]));
    let (gateway, nodes) = (shop.gateway(), shop.read_nodes());
    assert_eq!(nodes.len(), 2);
    let mut products = Vec::new();
    for number in 0..20 {
        products.push(create(&gateway, &format!("LAMP-{number}")).await.id);
    }
    let mut delays = Vec::new();
    for round in 0..1_000 {
        let id = products[round % products.len()];
        let patched = set_price(&gateway, id, &format!("{}.{:02}", 1 + round, round % 100)).await;
        let acknowledged = Instant::now();
        for node in &nodes {
            holds(async || try_read(node, id).await.is_some_and(|seen| seen.version >= patched.version)).await;
            assert_eq!(read(node, id).await, patched);
        }
        delays.push(acknowledged.elapsed());
    }
    delays.sort();
    println!("seen on every node after the answer: p50 {:?}, p99 {:?}", delays[499], delays[989]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_from_a_replica_that_lags_never_wins_over_what_the_node_has_seen() {
    // The replica stays in use however far it lags, and only an event or a read may correct an entry.
    // Nothing is kept near, so that each read asks what lies below.
    let env = [
        ("FRESHET_REPLICA_LAG_MAX_MS", "3600000"),
        ("FRESHET_PRODUCT_TTL_SECONDS", "3600"),
        ("FRESHET_NEAR_BYTES_MAX", "0"),
    ];
    let shop = tokio::task::block_in_place(|| stack(Options { read_nodes: 1, ..Options::default() }, &env));
    let urls = shop.stack.urls();
    let (gateway, node, ops) = (shop.gateway(), &shop.read_nodes()[0], &testkit::client(&urls.read_ops[0]));
    let product = create(&gateway, "LAMP-1").await.id;
    let redis = redis::Client::open(urls.redis.as_str()).unwrap();
    let mut redis = redis.get_multiplexed_async_connection().await.unwrap();
    let cached = async |redis: &mut redis::aio::MultiplexedConnection| -> Option<Version> {
        let value: Option<Vec<u8>> = redis::cmd("GET").arg(Entry::key(product)).query_async(redis).await.unwrap();
        Some(Entry::decode(&value?.into()).unwrap().version)
    };
    holds(async || try_read(node, product).await.is_some()).await;
    holds(async || cached(&mut redis).await == Some(Version::FIRST)).await;
    let replica = sqlx::PgPool::connect(&urls.replicas[0]).await.unwrap();
    sqlx::query("select pg_wal_replay_pause()").execute(&replica).await.unwrap();
    holds(async || {
        sqlx::query_scalar("select pg_get_wal_replay_pause_state() = 'paused'").fetch_one(&replica).await.unwrap()
    })
    .await;

    let patched = set_price(&gateway, product, "24.99").await;
    holds(async || cached(&mut redis).await == Some(patched.version)).await;
    holds(async || read(node, product).await.version == patched.version).await;
    let asked = "freshet_source_queries_total{source=\"replica\"}";
    let before = metric(ops, asked).await;
    let held: i64 = sqlx::query_scalar("select version from products").fetch_one(&replica).await.unwrap();
    assert_eq!(held, 1, "the replica still has the old version");
    redis::cmd("DEL").arg(Entry::key(product)).exec_async(&mut redis).await.unwrap();

    assert_eq!(read(node, product).await, patched);
    assert!(metric(ops, asked).await > before, "the replica that lags was asked");
    sqlx::query("select pg_wal_replay_resume()").execute(&replica).await.unwrap();
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        redis::cmd("DEL").arg(Entry::key(product)).exec_async(&mut redis).await.unwrap();
        assert_eq!(read(node, product).await, patched);
    }
}
