//! Every process killed under a stream of patches: what was acknowledged is kept, and every node comes to show it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use catalog::{Product, ProductId, Version};
use client::Client;
use http::StatusCode;
use testkit::api::{create, read, try_read, try_set_price};
use testkit::{Options, holds, stack};

/// Enough that entries are cached, read and changed all at once; few enough that each is changed often.
const PRODUCTS: usize = 120;
const WRITERS: usize = 4;
/// Patches acknowledged between two kills.
const BETWEEN_KILLS: usize = 200;
/// How soon after the last restart everything acknowledged must be everywhere.
const CONVERGED_WITHIN: Duration = Duration::from_secs(10);

/// What the writers and readers of the test share.
struct Traffic {
    gateway: Client,
    acknowledged: AtomicUsize,
    is_over: AtomicBool,
}

/// Patches its products in turn until told to stop; returns the newest version acknowledged of each.
///
/// A patch that gets no answer may have been applied or not: nothing is expected of it.
async fn patch_on_and_on(traffic: Arc<Traffic>, products: Vec<ProductId>) -> BTreeMap<ProductId, Product> {
    let mut newest = BTreeMap::new();
    for round in 1_u64.. {
        let id = products[usize::try_from(round).unwrap() % products.len()];
        let price = format!("{}.{:02}", round / 100, round % 100);
        if let Some(answer) = try_set_price(&traffic.gateway, id, &price).await
            && answer.status == StatusCode::OK
        {
            newest.insert(id, answer.json::<Product>().unwrap());
            traffic.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        if traffic.is_over.load(Ordering::Relaxed) {
            break;
        }
    }
    newest
}

/// Reads all products from a node until told to stop, so that they are cached; versions never fall.
async fn read_on_and_on(traffic: Arc<Traffic>, node: Client, products: Vec<ProductId>) {
    let mut seen: BTreeMap<ProductId, Version> = BTreeMap::new();
    while !traffic.is_over.load(Ordering::Relaxed) {
        for id in &products {
            let version = read(&node, *id).await.version;
            let before = seen.insert(*id, version).unwrap_or_default();
            assert!(version >= before, "product {id} went from {before} back to {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_each_process_is_killed() {
    let mut shop =
        tokio::task::block_in_place(|| stack(Options::default(), &[("FRESHET_PRODUCT_TTL_SECONDS", "3600")]));
    let gateway = shop.gateway();
    let mut products = Vec::new();
    for number in 0..PRODUCTS {
        products.push(create(&gateway, &format!("LAMP-{number}")).await.id);
    }
    for node in shop.read_nodes() {
        holds(async || try_read(&node, products[PRODUCTS - 1]).await.is_some()).await;
    }
    let traffic = Arc::new(Traffic { gateway, acknowledged: AtomicUsize::new(0), is_over: AtomicBool::new(false) });
    let writers: Vec<_> = products
        .chunks(PRODUCTS / WRITERS)
        .map(|own| tokio::spawn(patch_on_and_on(Arc::clone(&traffic), own.to_vec())))
        .collect();
    let readers: Vec<_> = shop
        .read_nodes()
        .into_iter()
        .map(|node| tokio::spawn(read_on_and_on(Arc::clone(&traffic), node, products.clone())))
        .collect();

    for member in ["write-1", "projector-1", "redis", "nats"] {
        let enough = traffic.acknowledged.load(Ordering::Relaxed) + BETWEEN_KILLS;
        holds(async || traffic.acknowledged.load(Ordering::Relaxed) >= enough).await;
        shop.kill_and_start_again(member);
    }
    let last_restart = Instant::now();
    traffic.is_over.store(true, Ordering::Relaxed);
    let mut newest = BTreeMap::new();
    for writer in writers {
        newest.extend(writer.await.unwrap());
    }
    for reader in readers {
        reader.await.unwrap();
    }

    let db = sqlx::PgPool::connect(&shop.stack.urls().database).await.unwrap();
    let mut stored = BTreeMap::new();
    for (id, acknowledged) in &newest {
        let version: i64 = sqlx::query_scalar("select version from products where id = $1")
            .bind(id.get())
            .fetch_one(&db)
            .await
            .unwrap();
        assert!(version >= acknowledged.version.get(), "product {id}");
        stored.insert(*id, version);
    }
    for node in shop.read_nodes() {
        for (id, version) in &stored {
            holds(async || {
                assert!(last_restart.elapsed() < CONVERGED_WITHIN, "product {id} is still old");
                read(&node, *id).await.version.get() == *version
            })
            .await;
        }
    }
    println!(
        "{} patches acknowledged; all on every node {:?} after the last restart",
        traffic.acknowledged.load(Ordering::Relaxed),
        last_restart.elapsed()
    );
}
