//! The auditor on a whole stack: silent while every promise is kept, whatever is away; loud when one is broken.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cache::{Cache, Content, Entry};
use catalog::{Product, ProductId};
use client::Client;
use events::{Epoch, Position};
use http::{HeaderMap, Method, StatusCode};
use testkit::api::{create, metric, read, set_price, try_read, try_set_price};
use testkit::{Options, TestStack, client, holds, programs, stack};
use tokio::task::{JoinHandle, block_in_place, spawn_blocking};

const PRODUCTS: usize = 40;

/// Runs `freshet-projector` on the stack, to its end.
fn projector(shop: &TestStack, arguments: &[&str]) -> JoinHandle<Output> {
    let urls = shop.stack.urls();
    let mut program = Command::new(programs().join("freshet-projector"));
    program
        .args(arguments)
        .env("FRESHET_READ_URLS", urls.read.join(","))
        .env("FRESHET_REPLICA_URLS", urls.replicas.join(","))
        .env("FRESHET_DATABASE_URL", &urls.database)
        .env("FRESHET_REDIS_URL", &urls.redis)
        .env("FRESHET_NATS_URL", &urls.nats);
    spawn_blocking(move || program.output().unwrap())
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Patches the products in turn, and creates and deletes others in between; refusals while something is away are no matter.
async fn change_on_and_on(gateway: Client, products: Vec<ProductId>, is_over: Arc<AtomicBool>) {
    for round in 0_usize.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let id = products[round % products.len()];
        let _ = try_set_price(&gateway, id, &format!("{}.{:02}", 1 + round / 100, round % 100)).await;
        if round % 20 == 0 {
            let json = HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
            let lamp = format!(r#"{{"sku":"BRIEF-{round}","name":"Lamp","price":"1.00","stock":1}}"#);
            let created = gateway.request(Method::POST, "/products", json, lamp).await;
            if let Some(product) = created.ok().and_then(|answer| answer.json::<Product>().ok()) {
                let _ =
                    gateway.request(Method::DELETE, &format!("/products/{}", product.id), HeaderMap::new(), "").await;
            }
        }
    }
}

/// Lets time go by with something away.
async fn lasts(duration: Duration) {
    let begun = Instant::now();
    holds(async || begun.elapsed() >= duration).await;
}

async fn products(shop: &TestStack) -> Vec<ProductId> {
    let mut products = Vec::new();
    for number in 0..PRODUCTS {
        products.push(create(&shop.gateway(), &format!("LAMP-{number}")).await.id);
    }
    products
}

async fn redis(shop: &TestStack) -> redis::aio::MultiplexedConnection {
    let redis = redis::Client::open(shop.stack.urls().redis).unwrap();
    redis.get_multiplexed_async_connection().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_promise_is_seen_broken_under_patches_while_one_part_after_the_other_is_away() {
    let env = [("FRESHET_AUDIT_SAMPLES_PER_SECOND", "2")];
    let mut shop = block_in_place(|| stack(Options::default(), &env));
    let products = products(&shop).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let changes = tokio::spawn(change_on_and_on(shop.gateway(), products.clone(), Arc::clone(&is_over)));

    let healthy = projector(&shop, &["audit", "--seconds", "8", "--samples-per-second", "20"]).await.unwrap();
    println!("{}", said(&healthy));
    assert!(healthy.status.success(), "{}", said(&healthy));
    let nowhere = format!("http://127.0.0.1:{}", xtask::ports::free(1)[0]);
    let nodes = format!("{},{nowhere}", shop.stack.urls().read[0]);
    let some = ["audit", "--seconds", "4", "--samples-per-second", "20", "--read-urls", &nodes];
    let half = projector(&shop, &some).await.unwrap();
    assert_eq!(half.status.code(), Some(2), "{}", said(&half));
    assert!(said(&half).contains(&format!("no answer of {nowhere}")), "{}", said(&half));

    let audit = projector(&shop, &["audit", "--seconds", "45", "--samples-per-second", "20"]);
    lasts(Duration::from_secs(4)).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis(&shop).await).await.unwrap();
    block_in_place(|| shop.stack.process("read-2").unwrap().pause());
    lasts(Duration::from_secs(3)).await;
    block_in_place(|| shop.stack.process("read-2").unwrap().resume());
    for away in ["read-1", "redis", "nats", "primary"] {
        shop.kill_and_start_again(away);
        lasts(Duration::from_secs(4)).await;
    }
    // Changes go through again.
    let gateway = shop.gateway();
    let is_changed = async |answer: Option<client::Response>| answer.is_some_and(|it| it.status == StatusCode::OK);
    holds(async || is_changed(try_set_price(&gateway, products[0], "2000.00").await).await).await;
    let outages = audit.await.unwrap();
    println!("{}", said(&outages));
    assert!(outages.status.success(), "{}", said(&outages));

    is_over.store(true, Ordering::Relaxed);
    changes.await.unwrap();
    let ops = client(&shop.stack.urls().projector_ops[0]);
    for line in [
        "freshet_audit_samples_total{tier=\"node-1\",result=\"checked\"}",
        "freshet_audit_samples_total{tier=\"node-2\",result=\"shown\"}",
        "freshet_audit_lag_seconds_bucket{tier=\"node-2\",le=\"10\"}",
        "freshet_audit_answers_held_to_as_of_total",
    ] {
        assert!(metric(&ops, line).await > 0.0, "the projector audits too: {line}");
    }
    for kind in ["stale", "undeleted", "lost", "backwards", "different"] {
        assert!(metric(&ops, &format!("freshet_audit_violations_total{{kind=\"{kind}\"}}")).await < 0.5, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_never_was_is_found_in_redis_and_on_the_node_that_serves_it() {
    let shop = block_in_place(|| stack(Options { read_nodes: 1, ..Options::default() }, &[]));
    let product = create(&shop.gateway(), "LAMP-1").await;
    let db = sqlx::PgPool::connect(&shop.stack.urls().database).await.unwrap();
    let epoch: i64 = sqlx::query_scalar("select number from epoch").fetch_one(&db).await.unwrap();
    // Newer than anything that the log will tell, so nothing takes it out.
    let forged = Product { version: 9.try_into().unwrap(), ..product.clone() };
    let entry = Entry {
        epoch: Epoch(epoch.unsigned_abs()),
        version: forged.version,
        read_at: Position(u64::from(u32::MAX)),
        content: Content::Product(forged.to_json().into()),
    };
    let cache = Cache::new(&shop.stack.urls().redis, Duration::from_hours(1)).unwrap();
    holds(async || cache.fill(&[(product.id, entry.clone())]).await.is_ok()).await;

    let audit = projector(&shop, &["audit", "--seconds", "3", "--samples-per-second", "5"]).await.unwrap();

    assert_eq!(audit.status.code(), Some(1), "{}", said(&audit));
    let told = said(&audit);
    let lost = |tier: &str| {
        let is_it =
            |line: &&str| line.contains("\"kind\":\"lost\"") && line.contains(&format!("\"tier\":\"{tier}\",\"v"));
        told.lines().any(|line| is_it(&line))
    };
    assert!(lost("redis") && lost("node-1"), "{told}");
    // In quotes: a moment may end like a price.
    assert!(!told.contains("19.99\""), "no content is told: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_from_a_replica_that_lags_leaves_no_older_entry() {
    let shop = block_in_place(|| stack(Options { read_nodes: 1, ..Options::default() }, &[]));
    let (gateway, node) = (shop.gateway(), &shop.read_nodes()[0]);
    let id = create(&gateway, "LAMP-1").await.id;
    let unchanged = create(&gateway, "LAMP-2").await.id;
    holds(async || try_read(node, id).await.is_some() && try_read(node, unchanged).await.is_some()).await;
    let replica = sqlx::PgPool::connect(&shop.stack.urls().replicas[0]).await.unwrap();
    holds(async || {
        let products: i64 = sqlx::query_scalar("select count(*) from products").fetch_one(&replica).await.unwrap();
        products == 2
    })
    .await;
    sqlx::query("select pg_wal_replay_pause()").execute(&replica).await.unwrap();
    holds(async || {
        sqlx::query_scalar("select pg_get_wal_replay_pause_state() = 'paused'").fetch_one(&replica).await.unwrap()
    })
    .await;
    let patched = set_price(&gateway, id, "24.99").await;
    holds(async || read(node, id).await == patched).await;
    redis::cmd("FLUSHALL").exec_async(&mut redis(&shop).await).await.unwrap();

    let rebuild = projector(&shop, &["rebuild"]).await.unwrap();

    assert!(rebuild.status.success(), "{}", said(&rebuild));
    assert!(said(&rebuild).contains("reading from replica"), "{}", said(&rebuild));
    let cache = Cache::new(&shop.stack.urls().redis, Duration::from_hours(1)).unwrap();
    let held = cache.get(&[id, unchanged]).await.unwrap();
    let versions: Vec<i64> = held.into_iter().map(|entry| entry.unwrap().version.get()).collect();
    assert_eq!(versions, [2, 1], "{}", said(&rebuild));
    assert_eq!(read(node, id).await, patched);
}
