//! The primary is restarted, in order and by a kill.

use http::StatusCode;
use testkit::api::{create, metric, read, try_set_price};
use testkit::{Options, TestStack, holds};

use crate::shop::{epoch, is_cached, is_right_everywhere, kill, open, start_again, stop, vouches_for_now};
use crate::traffic::Traffic;

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_shut_down_or_killed_begins_a_new_epoch_and_voids_every_cache() {
    let mut shop = open(Options::default(), &[]);
    let urls = shop.stack.urls();
    let (gateway, nodes) = (shop.gateway(), shop.read_nodes());
    let mut products = Vec::new();
    for number in 0..10 {
        products.push(create(&gateway, &format!("BUSY-{number}")).await.id);
    }
    // One for each node: what one has read is in Redis for the other.
    let quiet = [create(&gateway, "QUIET-1").await, create(&gateway, "QUIET-2").await];
    let ways: [fn(&mut TestStack, &str); 2] = [stop, kill];
    for end in ways {
        let before = epoch(&urls.database).await;
        let traffic = Traffic::resume(gateway.clone(), shop.read_nodes(), products.clone());
        traffic.acknowledges(100).await;
        for (node, product) in nodes.iter().zip(&quiet) {
            is_cached(node, product.id).await;
        }

        end(&mut shop, "primary");
        let refused = try_set_price(&gateway, products[0], "3.00").await.unwrap();
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!refused.header("retry-after").is_empty());
        traffic.answers(100).await;
        for (node, product) in nodes.iter().zip(&quiet) {
            assert_eq!(read(node, product.id).await, *product);
        }
        start_again(&mut shop, "primary");

        traffic.acknowledges(100).await;
        holds(async || epoch(&urls.database).await > before).await;
        let acknowledged = traffic.end().await;
        is_right_everywhere(&shop, &urls.database, &acknowledged).await;
        for ((node, ops), product) in nodes.iter().zip(&urls.read_ops).zip(&quiet) {
            vouches_for_now(node, products[0]).await;
            let ops = testkit::client(ops);
            let refusals = "freshet_fills_rejected_total{tier=\"redis\",reason=\"other_epoch\"}";
            let refused = metric(&ops, refusals).await;
            let answer = node.get(&format!("/products/{}", product.id)).await.unwrap();
            assert_eq!(answer.body[..], product.to_json()[..]);
            let status = answer.header("cache-status");
            assert!(status.starts_with("redis; fwd=stale") && status.contains("near; fwd=uri-miss"), "{status}");
            assert!(metric(&ops, refusals).await > refused);
        }
    }
}
