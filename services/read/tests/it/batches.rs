//! `GET /products?ids=…` and `?skus=…`.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::node::World;

#[tokio::test(flavor = "multi_thread")]
async fn named_products_come_in_the_order_asked_for_each_once() {
    let mut world = World::new().await;
    let node = world.node().await;
    let (one, two, gone) = (world.create("LAMP-1").await, world.create("LAMP-2").await, world.create("LAMP-3").await);
    world.delete(&gone).await;
    testkit::holds(async || node.get(&format!("/products/{}", gone.id)).await.status == StatusCode::NOT_FOUND).await;
    let product = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap();
    let items = json!([product(&two.to_json()), product(&one.to_json())]);

    let path = format!("/products?ids={two},999999,{one},{two},{gone}", two = two.id, one = one.id, gone = gone.id);
    let by_id = node.get(&path).await;
    let again = node.get(&path).await;
    let by_sku = node.get("/products?skus=LAMP-2,NONE,LAMP-1,LAMP-3").await;

    let expected = json!({"items": items, "next_cursor": null, "missing": [999_999, gone.id]});
    assert_eq!(by_id.json::<Value>().unwrap(), expected);
    assert_eq!(again.body, by_id.body);
    assert_eq!(again.header("cache-status"), "redis; hit");
    assert!(by_id.header("etag").starts_with("W/\""));
    let expected = json!({"items": items, "next_cursor": null, "missing": ["NONE", "LAMP-3"]});
    assert_eq!(by_sku.json::<Value>().unwrap(), expected);
    // It is written there again if it was read later than what is there.
    assert!(by_sku.header("cache-status").starts_with("redis; fwd=bypass; detail=replica"));
    let held = node.request(Method::GET, &path, (header::IF_NONE_MATCH, by_id.header("etag"))).await;
    assert_eq!(held.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_redis_lacks_is_read_from_a_replica_and_kept() {
    let mut world = World::new().await;
    let node = world.node().await;
    let (one, two) = (world.create("LAMP-1").await, world.create("LAMP-2").await);
    node.has_seen(&one).await;

    let path = format!("/products?ids={},{}", one.id, two.id);
    testkit::holds(async || node.get(&path).await.header("cache-status") == "redis; hit").await;

    assert_eq!(node.cache_status(two.id).await, "redis; hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn skus_are_answered_from_memory_once_it_is_known_whose_they_are() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let (one, two) = (world.create("LAMP-1").await, world.create("LAMP-2").await);
    node.has_seen(&two).await;
    let path = "/products?skus=LAMP-2,LAMP-1";
    node.get(path).await;
    let known = node.get(path).await;
    assert_eq!(known.header("cache-status"), "near; hit");
    assert!(!known.header("catalog-as-of").is_empty());
    let partly = node.get("/products?skus=LAMP-1,NONE").await;
    assert!(partly.header("cache-status").starts_with("redis; fwd=partial; detail=replica"));
    assert_eq!(partly.json::<Value>().unwrap()["missing"], json!(["NONE"]));

    let sold = world.set_stock(&one, 0).await;
    testkit::holds(async || node.get(path).await.json::<Value>().unwrap()["items"][1]["stock"] == 0).await;
    assert_eq!(node.get(path).await.header("cache-status"), "near; hit");
    world.delete(&sold).await;
    let heir = world.create("LAMP-1").await;
    testkit::holds(async || node.get(path).await.json::<Value>().unwrap()["items"][1]["id"] == heir.id.get()).await;
    testkit::holds(async || node.get(path).await.header("cache-status") == "near; hit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be_meant_are_refused() {
    let world = World::new().await;
    let node = world.node().await;
    let many: Vec<String> = (1..=101).map(|id| id.to_string()).collect();

    for (bad, status) in [
        ("ids=", 422),
        ("ids=1,,2", 422),
        ("ids=0", 422),
        ("ids=x", 422),
        ("skus=", 422),
        ("ids=1&skus=A", 400),
        ("ids=1&brand=Lumo", 400),
        ("ids=1&ids=2", 400),
        (&format!("ids={}", many.join(",")), 422),
    ] {
        let answer = node.get(&format!("/products?{bad}")).await;
        assert_eq!(answer.status, StatusCode::from_u16(status).unwrap(), "{bad}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{bad}");
    }
    let most = node.get(&format!("/products?ids={}", many[1..].join(","))).await;
    assert_eq!(most.status, StatusCode::OK);
}
