//! Read nodes join and leave under load, and no client notices.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use testkit::api::{create, read, try_read};
use testkit::{Options, holds, stack};

const READERS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_read_node_joins_and_another_leaves_without_an_error_to_any_client() {
    let mut shop = tokio::task::block_in_place(|| stack(Options::default(), &[]));
    let id = create(&shop.gateway(), "LAMP-1").await.id;
    for node in shop.read_nodes() {
        holds(async || try_read(&node, id).await.is_some()).await;
    }
    let (answers, is_over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let gateway = shop.gateway();
            let (answers, is_over) = (Arc::clone(&answers), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    read(&gateway, id).await;
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let some_more = async || {
        let enough = answers.load(Ordering::Relaxed) + 500;
        holds(async || answers.load(Ordering::Relaxed) >= enough).await;
    };

    some_more().await;
    let joined = tokio::task::block_in_place(|| shop.stack.add_read_node().unwrap());
    assert_eq!(joined, "read-3");
    let url = shop.stack.urls().read_ops[2].clone();
    holds(async || {
        let metrics = testkit::client(&url).get("/metrics").await.unwrap();
        String::from_utf8_lossy(&metrics.body).contains("route=\"/products/{id}\"")
    })
    .await;
    some_more().await;
    tokio::task::block_in_place(|| shop.stack.process("read-1").unwrap().stop());
    some_more().await;
    tokio::task::block_in_place(|| shop.stack.process("read-2").unwrap().kill9());
    some_more().await;

    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
}
