//! The replica is promoted while the old primary is left running, and the primary's address moves.

use std::time::Instant;

use catalog::{Product, ProductId};
use client::{Client, Response};
use freshness::Token;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use testkit::api::{create, metric, read, try_read, try_set_price};
use testkit::{Options, eventually, holds};

use crate::failover::{Failover, isolated_write_node};
use crate::shop::{connect, epoch, is_cached, is_right_everywhere, projector_goes_on};
use crate::traffic::Traffic;

/// Commits that wait for a replica.
const WAITERS: &str = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";

const TOKEN: HeaderName = HeaderName::from_static("consistency-token");

async fn read_with(node: &Client, path: &str, token: &str) -> Response {
    let headers = HeaderMap::from_iter([(TOKEN, HeaderValue::try_from(token).unwrap())]);
    node.request(Method::GET, path, headers, "").await.unwrap()
}

/// A patch that is acknowledged: the product then, and the token.
async fn patch(gateway: &Client, id: ProductId, price: &str) -> (Product, String) {
    let answer =
        eventually(async || try_set_price(gateway, id, price).await.filter(|answer| answer.status == StatusCode::OK))
            .await;
    (answer.json().unwrap(), answer.header("consistency-token").to_owned())
}

async fn shows(node: &Client, product: &Product) {
    holds(async || {
        let answer = node.get(&format!("/products/{}", product.id)).await.unwrap();
        answer.status == StatusCode::OK && answer.json::<Product>().unwrap() == *product
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_asynchronous_promotion_loses_is_served_nowhere_once_the_new_epoch_is_there() {
    // The second replica goes on following the old primary.
    let stage = Failover::open(Options { replicas: 2, ..Options::default() }).await;
    let (gateway, nodes) = (stage.shop.gateway(), stage.shop.read_nodes());
    let mut lamps = Vec::new();
    for number in 0..10 {
        let id = create(&gateway, &format!("LAMP-{number}")).await.id;
        lamps.push(patch(&gateway, id, "2.00").await);
    }
    let before = epoch(&stage.old).await;
    stage.is_replicated().await;
    stage.cut_off_replica().await;

    // About a second of the log that only the old primary has: all of it acknowledged, published and seen.
    let mut lost = Vec::new();
    for round in 0..10 {
        for (lamp, _) in &lamps {
            let written = patch(&gateway, lamp.id, &format!("66{round}.00")).await;
            if round == 9 {
                lost.push(written);
            }
        }
    }
    let lost_lamp = create(&gateway, "LOST-LAMP").await;
    for node in &nodes {
        for (product, _) in &lost {
            shows(node, product).await;
            is_cached(node, product.id).await;
        }
        shows(node, &lost_lamp).await;
    }
    stage.promote(&[stage.port_of_old_relay().await]).await;

    // Versions are used again with other content: past the lost ones, up to them and below; the other half stays as it was.
    let mut kept = Vec::new();
    for ((lamp, _), patches) in lamps.iter().zip([11, 10, 5, 2, 1]) {
        for round in 1..patches {
            patch(&gateway, lamp.id, &format!("3.{round:02}")).await;
        }
        kept.push(patch(&gateway, lamp.id, "4.00").await);
    }
    assert!(kept[0].0.version > lost[0].0.version && kept[1].0.version == lost[1].0.version);
    kept.extend_from_slice(&lamps[5..]);
    let now = stage.new_epoch(before).await;
    for node in &nodes {
        // Only the new epoch lets a node take back a version that it has shown.
        shows(node, &kept[9].0).await;
        for (product, _) in &kept {
            assert_eq!(read(node, product.id).await, *product);
        }
        assert_eq!(try_read(node, lost_lamp.id).await, None);
        let page = node.get("/products?limit=100").await.unwrap();
        let text = String::from_utf8_lossy(&page.body).into_owned();
        assert!(page.status == StatusCode::OK && !text.contains("\"66") && !text.contains("LOST-LAMP"), "{text}");
    }
    tokens_after_promotion(&nodes, &lamps, &lost, &kept).await;

    let traffic = Traffic::resume(gateway, stage.shop.read_nodes(), lamps.iter().map(|(lamp, _)| lamp.id).collect());
    traffic.acknowledges(100).await;
    traffic.answers(100).await;
    let acknowledged = traffic.end().await;
    is_right_everywhere(&stage.shop, &stage.new, &acknowledged).await;
    projector_goes_on(&stage.shop, &acknowledged).await;
    assert_eq!((epoch(&stage.new).await, stage.epoch_of_stream().await), (now, now), "nobody has begun another");
    assert_eq!(epoch(&stage.old).await, before);
}

/// Tokens of writes that the promoted replica had, of lost ones, and of ones that it took itself.
async fn tokens_after_promotion(
    nodes: &[Client],
    before: &[(Product, String)],
    lost: &[(Product, String)],
    after: &[(Product, String)],
) {
    for node in nodes {
        for (written, now) in before.iter().zip(after) {
            let path = format!("/products/{}", written.0.id);
            let answer = read_with(node, &path, &written.1).await;
            assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.problem());
            assert_eq!(answer.json::<Product>().unwrap(), now.0);
            let answer = read_with(node, &path, &now.1).await;
            assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.problem());
            assert_eq!(answer.json::<Product>().unwrap(), now.0);
        }
        for (product, token) in lost {
            let parsed = Token::parse(token).unwrap();
            for path in [
                format!("/products/{}", product.id),
                format!("/products?ids={}", product.id),
                "/products?limit=1".to_owned(),
            ] {
                let answer = read_with(node, &path, token).await;
                assert_eq!(
                    answer.status,
                    StatusCode::BAD_REQUEST,
                    "{path} {parsed:?}: {:?}",
                    String::from_utf8_lossy(&answer.body)
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_promotion_loses_nothing_that_was_acknowledged() {
    let stage = Failover::open(Options::default()).await;
    let gateway = stage.shop.gateway();
    let waiting = create(&gateway, "WAITING-LAMP").await;
    let mut old = connect(&stage.old).await;
    for statement in ["alter system set synchronous_standby_names = 'ANY 1 (*)'", "select pg_reload_conf()"] {
        sqlx::query(statement).execute(&mut old).await.unwrap();
    }
    let mut asked = async |sql: &'static str| -> i64 { sqlx::query_scalar(sql).fetch_one(&mut old).await.unwrap() };
    holds(async || asked("select count(*) from pg_stat_replication where sync_state = 'quorum'").await == 1).await;
    let before = epoch(&stage.old).await;
    let traffic = Traffic::begin(gateway.clone(), stage.shop.read_nodes(), 10).await;
    traffic.acknowledges(200).await;

    // While no replica answers, commits wait instead of being acknowledged; they go on when it does.
    stage.cut_off_replica().await;
    let patient = gateway.clone();
    let patched = tokio::spawn(async move { try_set_price(&patient, waiting.id, "5.00").await });
    holds(async || asked(WAITERS).await >= 1).await;
    assert!(!patched.is_finished());
    stage.let_replica_follow().await;
    assert_eq!(patched.await.unwrap().unwrap().status, StatusCode::OK);
    traffic.acknowledges(50).await;

    // What waits when the other one is promoted is lost, and nobody was told otherwise: this patch, or the one of the traffic
    // behind which it waits, and then it is taken by the new primary.
    stage.cut_off_replica().await;
    let patient = gateway.clone();
    let patched = tokio::spawn(async move { try_set_price(&patient, waiting.id, "6.00").await });
    holds(async || asked(WAITERS).await >= 1).await;
    stage.promote(&[]).await;
    let is_acknowledged = patched.await.unwrap().is_some_and(|answer| answer.status == StatusCode::OK);
    traffic.acknowledges(100).await;
    let now = stage.new_epoch(before).await;
    traffic.answers(100).await;

    let acknowledged = traffic.end().await;
    is_right_everywhere(&stage.shop, &stage.new, &acknowledged).await;
    for node in stage.shop.read_nodes() {
        let price = if is_acknowledged { "6.00" } else { "5.00" };
        assert_eq!(read(&node, waiting.id).await.price.to_string(), price);
    }
    projector_goes_on(&stage.shop, &acknowledged).await;
    assert_eq!((epoch(&stage.new).await, stage.epoch_of_stream().await), (now, now), "nobody has begun another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_node_that_stays_with_the_old_primary_publishes_no_more_and_deposes_nobody() {
    let stage = Failover::open(Options { write_nodes: 1, ..Options::default() }).await;
    let (gateway, nodes) = (stage.shop.gateway(), stage.shop.read_nodes());
    let isolated = isolated_write_node(&stage);
    let (cut_off, ops) = (stage.shop.client(&isolated.url), testkit::client(&isolated.ops_url));
    let mut products = Vec::new();
    for number in 0..10 {
        products.push(create(&gateway, &format!("LAMP-{number}")).await.id);
    }
    let before = epoch(&stage.old).await;
    stage.is_replicated().await;
    stage.cut_off_replica().await;
    // It goes on to take patches, before the promotion and after it, as fast as it can.
    let lost = Traffic::resume(cut_off, Vec::new(), products.clone());
    lost.acknowledges(100).await;

    stage.promote(&[]).await;
    let promoted = Instant::now();
    let now = stage.new_epoch(before).await;
    let begun = promoted.elapsed();
    let patched = patch(&gateway, products[0], "7777.00").await.0;
    for node in &nodes {
        shows(node, &patched).await;
    }
    println!("the new epoch after {begun:?}, on every node after {:?}", promoted.elapsed());
    holds(async || metric(&ops, "freshet_relay_failures_total{reason=\"deposed\"}").await >= 2.0).await;
    assert_eq!(stage.epoch_of_stream().await, now);

    let traffic = Traffic::resume(gateway, stage.shop.read_nodes(), products);
    traffic.acknowledges(100).await;
    lost.acknowledges(100).await;
    traffic.answers(100).await;
    let acknowledged = traffic.end().await;
    lost.end().await;
    is_right_everywhere(&stage.shop, &stage.new, &acknowledged).await;
    assert_eq!((epoch(&stage.new).await, stage.epoch_of_stream().await), (now, now), "nobody has begun another");
}
