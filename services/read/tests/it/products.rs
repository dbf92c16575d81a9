//! `GET /products/{id}`: its answers, and what may stand in for them.

use http::{Method, StatusCode, header};

use crate::node::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_answered_with_its_bytes_and_its_version_as_tag() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;

    let answer = node.get(&format!("/products/{}", lamp.id)).await;

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body[..], lamp.to_json()[..]);
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "public, max-age=0, must-revalidate");
    assert!(answer.header("vary").contains("Consistency-Token"), "{:?}", answer.headers);
    assert_eq!(answer.header("cache-status"), "redis; hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_the_version_gets_304_until_it_changes() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);

    let held = node.request(Method::GET, &path, (header::IF_NONE_MATCH, "W/\"1\"")).await;
    let lamp = world.set_stock(&lamp, 3).await;
    node.has_seen(&lamp).await;
    let changed = node.request(Method::GET, &path, (header::IF_NONE_MATCH, "\"1\"")).await;

    assert_eq!((held.status, held.body.len()), (StatusCode::NOT_MODIFIED, 0));
    for name in ["etag", "cache-control", "vary", "cache-status"] {
        assert!(held.headers.contains_key(name), "{name}");
    }
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.body[..], lamp.to_json()[..]);
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_headers_of_get_and_no_body() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;

    let answer = node.request(Method::HEAD, &format!("/products/{}", lamp.id), (header::ACCEPT, "*/*")).await;

    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("content-length"), lamp.to_json().len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_deleted_products_are_not_found_and_bad_ids_are_refused() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    world.delete(&lamp).await;
    let path = format!("/products/{}", lamp.id);

    testkit::holds(async || node.get(&path).await.status == StatusCode::NOT_FOUND).await;
    let unknown = node.get("/products/999999").await;
    let unknown_again = node.get("/products/999999").await;

    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(unknown.problem().detail, "there is no product 999999");
    assert_eq!(unknown.header("cache-control"), "no-store");
    assert_eq!(unknown_again.status, StatusCode::NOT_FOUND);
    for bad in ["0", "-1", "+1", "x", "1.0", "9223372036854775808"] {
        assert_eq!(node.get(&format!("/products/{bad}")).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}
