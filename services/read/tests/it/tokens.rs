//! `Consistency-Token`: a read that sends it includes the write, or says that it cannot.

use catalog::Product;
use client::Response;
use freshness::Token;
use http::{HeaderName, Method, StatusCode};

use crate::node::{EPOCH, RunningNode, World, insert, position, set_stock};

const TOKEN: HeaderName = HeaderName::from_static("consistency-token");

async fn read(node: &RunningNode, path: &str, token: &str) -> Response {
    node.request(Method::GET, path, (TOKEN, token)).await
}

/// The token of a write that is committed, as the write service makes it.
async fn token(world: &mut World, product: Option<&Product>) -> Token {
    let product = product.map(|product| (product.id, product.version));
    Token { epoch: EPOCH, position: position(&mut world.primary).await, product }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_event_is_still_on_the_way_is_included_on_request() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);
    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    let token = token(&mut world, Some(&newer)).await.to_text();
    // As the relay's next mark does: what is read later is past the token.
    sqlx::query("update mark set sequence = sequence + 1").execute(&mut world.primary).await.unwrap();
    assert_eq!(node.get(&path).await.header("cache-status"), "near; hit", "the node does not know of it");

    let answer = read(&node, &path, &token).await;

    assert_eq!(answer.body[..], newer.to_json()[..]);
    assert_eq!(node.product(lamp.id).await, newer, "and nobody gets the old one any more");
    let again = read(&node, &path, &token).await;
    assert_eq!(again.header("cache-status"), "near; hit", "the version says enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_batches_with_a_token_include_a_write_that_was_just_made() {
    let mut world = World::new().await;
    let node = world.node().await;
    for number in 0..20 {
        let sku = format!("LAMP-{number}");
        let lamp = insert(&mut world.primary, &sku).await;
        // Neither replicated nor told for sure: whoever answers has to know.
        let token = token(&mut world, None).await.to_text();
        world.heartbeat().await;
        let paths = [
            "/products?sort=-created_at&limit=1",
            &format!("/products?skus={sku}"),
            &format!("/products?ids={}", lamp.id),
        ];

        for path in paths {
            let answer = read(&node, path, &token).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.problem());
            assert!(String::from_utf8_lossy(&answer.body).contains(&format!("\"{sku}\"")), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_no_write_has_made_is_refused_and_one_of_another_epoch_asks_the_primary() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);
    let real = token(&mut world, Some(&lamp)).await;

    let future = Token { position: events::Position(u64::MAX >> 1), product: None, ..real };
    let many = vec![real.to_text(); 17].join(",");
    for refused in ["x", "AQ", &future.to_text(), &many] {
        let answer = read(&node, &path, refused).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{refused}");
        assert!(answer.problem().detail.contains("Consistency-Token"), "{}", answer.problem().detail);
    }

    let primary = "freshet_source_queries_total{source=\"primary\"}";
    for epoch in [0, EPOCH.0 - 1] {
        let before = node.metric(primary).await;
        let answer = read(&node, &path, &Token { epoch: events::Epoch(epoch), ..real }.to_text()).await;
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.problem());
        assert!(node.metric(primary).await > before);
    }
    let later = read(&node, &path, &Token { epoch: events::Epoch(EPOCH.0 + 1), ..real }.to_text()).await;
    assert_eq!(later.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!later.header("retry-after").is_empty());
}

/// As after a promotion, when writes of the lost primary have got tokens of the epoch that the row still names.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_has_made_no_epoch_since_its_start_refuses_no_token_of_the_one_before() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);
    let real = token(&mut world, Some(&lamp)).await;
    let lost = Token { position: events::Position(real.position.0 + (1 << 40)), product: None, ..real };
    assert_eq!(read(&node, &path, &lost.to_text()).await.status, StatusCode::BAD_REQUEST);

    let sql = "update epoch set server_started_at = server_started_at - interval '1 hour'";
    sqlx::query(sql).execute(&mut world.primary).await.unwrap();

    let answer = read(&node, &path, &lost.to_text()).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.problem());
    let later = Token { epoch: events::Epoch(EPOCH.0 + 1), ..lost };
    assert_eq!(read(&node, &path, &later.to_text()).await.status, StatusCode::SERVICE_UNAVAILABLE);
}
