//! With one part away, reads and writes go on, or are refused in the way that was promised, and everything comes back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use catalog::ProductId;
use http::StatusCode;
use testkit::api::{create, read, set_price, try_read, try_set_price};
use testkit::{Options, TestStack, holds, stack};

/// The number of the epoch, as the primary has it.
async fn epoch(shop: &TestStack) -> i64 {
    let db = sqlx::PgPool::connect(&shop.stack.urls().database).await.unwrap();
    sqlx::query_scalar("select number from epoch").fetch_one(&db).await.unwrap()
}

/// A patch through the gateway is taken, and seen on every read node.
async fn changes_arrive(shop: &TestStack, id: ProductId, price: &str) {
    let gateway = shop.gateway();
    holds(async || try_set_price(&gateway, id, price).await.is_some_and(|answer| answer.status == StatusCode::OK))
        .await;
    for node in shop.read_nodes() {
        holds(async || try_read(&node, id).await.is_some_and(|seen| seen.price.to_string() == price)).await;
    }
}

fn kill(shop: &mut TestStack, member: &str) {
    tokio::task::block_in_place(|| shop.stack.process(member).unwrap().kill9());
}

fn start_again(shop: &mut TestStack, member: &str) {
    tokio::task::block_in_place(|| shop.stack.start_again(member).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_primary_is_away_reads_go_on_and_writes_are_told_to_retry() {
    let mut shop = tokio::task::block_in_place(|| stack(Options::default(), &[]));
    let gateway = shop.gateway();
    let (seen, unseen) = (create(&gateway, "LAMP-1").await.id, create(&gateway, "LAMP-2").await.id);
    changes_arrive(&shop, seen, "2.00").await;
    for node in shop.read_nodes() {
        holds(async || node.get("/products?skus=LAMP-2").await.unwrap().body.starts_with(b"{\"items\":[{")).await;
    }
    let before = epoch(&shop).await;

    kill(&mut shop, "primary");
    for node in shop.read_nodes() {
        assert_eq!(read(&node, seen).await.price.to_string(), "2.00", "from the cache");
        assert_eq!(read(&node, unseen).await.price.to_string(), "19.99", "from the replica");
    }
    let refused = try_set_price(&gateway, seen, "3.00").await.unwrap();
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!refused.header("retry-after").is_empty());

    start_again(&mut shop, "primary");
    changes_arrive(&shop, seen, "4.00").await;
    holds(async || epoch(&shop).await > before).await;
    changes_arrive(&shop, seen, "5.00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_one_backend_begins_a_new_epoch() {
    let shop = tokio::task::block_in_place(|| stack(Options { read_nodes: 1, ..Options::default() }, &[]));
    let id = create(&shop.gateway(), "LAMP-1").await.id;
    changes_arrive(&shop, id, "2.00").await;
    let before = epoch(&shop).await;
    let db = sqlx::PgPool::connect(&shop.stack.urls().database).await.unwrap();
    let started: String = sqlx::query_scalar("select pg_postmaster_start_time()::text").fetch_one(&db).await.unwrap();
    let victim: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&db).await.unwrap();

    assert!(Command::new("kill").args(["-9", &victim.to_string()]).status().unwrap().success());

    changes_arrive(&shop, id, "3.00").await;
    holds(async || epoch(&shop).await > before).await;
    let db = sqlx::PgPool::connect(&shop.stack.urls().database).await.unwrap();
    let still: String = sqlx::query_scalar("select pg_postmaster_start_time()::text").fetch_one(&db).await.unwrap();
    assert_eq!(still, started, "the postmaster itself was not restarted");
    changes_arrive(&shop, id, "4.00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_replica_or_redis_is_away_reads_go_on() {
    let mut shop = tokio::task::block_in_place(|| stack(Options::default(), &[]));
    let gateway = shop.gateway();
    let id = create(&gateway, "LAMP-1").await.id;
    changes_arrive(&shop, id, "2.00").await;

    kill(&mut shop, "redis");
    changes_arrive(&shop, id, "3.00").await;
    kill(&mut shop, "replica-1");
    let patched = set_price(&gateway, id, "4.00").await;
    for node in shop.read_nodes() {
        holds(async || read(&node, id).await == patched).await;
    }

    start_again(&mut shop, "replica-1");
    start_again(&mut shop, "redis");
    changes_arrive(&shop, id, "5.00").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_node_started_while_nats_is_away_serves_and_catches_up_later() {
    let env = [("FRESHET_NATS_WAIT_MS", "200"), ("FRESHET_NEAR_BYTES_MAX", "0")];
    let mut shop = tokio::task::block_in_place(|| stack(Options { read_nodes: 1, ..Options::default() }, &env));
    let id = create(&shop.gateway(), "LAMP-1").await.id;
    changes_arrive(&shop, id, "2.00").await;

    kill(&mut shop, "nats");
    kill(&mut shop, "read-1");
    start_again(&mut shop, "read-1");
    let node = &shop.read_nodes()[0];
    let patched = set_price(&shop.gateway(), id, "3.00").await;
    holds(async || read(node, id).await == patched).await;
    let answer = node.get(&format!("/products/{id}")).await.unwrap();
    assert!(answer.header("cache-status").starts_with("redis; fwd=bypass"), "{}", answer.header("cache-status"));

    start_again(&mut shop, "nats");
    holds(async || node.get(&format!("/products/{id}")).await.unwrap().header("cache-status") == "redis; hit").await;
    changes_arrive(&shop, id, "4.00").await;
}
