//! `GET /products/search`.

use http::{Method, StatusCode, header};
use serde_json::Value;

use crate::node::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_answered_from_a_replica_and_can_be_followed() {
    let mut world = World::new().await;
    let node = world.node().await;
    let (one, two) = (world.create("LAMP-1").await, world.create("LAMP-2").await);

    let first = node.get("/products/search?q=the+lamp&limit=1").await;
    let page: Value = first.json().unwrap();
    let cursor = page["next_cursor"].as_str().unwrap();
    let target = format!("/products/search?q=the+lamp&sort=relevance&limit=1&cursor={cursor}");
    let second = node.get(&target).await;

    assert_eq!(first.header("cache-status"), "redis; fwd=bypass; detail=replica");
    assert_eq!(first.header("link"), format!("<{target}>; rel=\"next\""));
    assert_eq!(page["items"][0]["id"], two.id.get(), "equal matches: the newer first");
    assert_eq!(second.json::<Value>().unwrap()["items"][0]["id"], one.id.get());
    assert_eq!(second.header("link"), "</products/search?q=the+lamp&sort=relevance&limit=1&page=1>; rel=\"first\"");
    let held = node.request(Method::GET, &target, (header::IF_NONE_MATCH, second.header("etag"))).await;
    assert_eq!(held.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_words_are_answered() {
    let world = World::new().await;
    let node = world.node().await;
    for words in ["%27%3A*", "%26%7C%21%28%29", "%5C", "%F0%9F%98%80", "a", "the", "%FF%FE", "%", "%2500", "%E2%80%AE"]
    {
        let answer = node.get(&format!("/products/search?q={words}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{words}");
        assert_eq!(answer.body, r#"{"items":[],"next_cursor":null}"#, "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_built_to_hurt_get_a_clear_answer() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;
    let long = "x".repeat(201);
    let many = "lamp+".repeat(40);
    for (path, status, says) in [
        (format!("/products/search?q={long}"), 422, "query parameter q must have 1 to 200 characters"),
        (format!("/products/search?q={}", "x".repeat(60_000)), 422, "must have 1 to 200 characters"),
        ("/products/search?q=".to_owned(), 422, "must have 1 to 200 characters"),
        ("/products/search?q=a%00b".to_owned(), 422, "must not contain control characters"),
        ("/products/search?q=lamp&q=lamp".to_owned(), 400, "must stand only once"),
        ("/products?page=501".to_owned(), 400, "use cursor to go further"),
        ("/products?page=99999999999999999999".to_owned(), 422, "must be an integer between 1 and 10000"),
        ("/products?limit=101".to_owned(), 422, "must be an integer between 1 and 100"),
        ("/products?limit=-1".to_owned(), 422, "must be an integer between 1 and 100"),
        ("/products?cursor=%27%20or%201%3D1".to_owned(), 400, "query parameter cursor is not one that was given out"),
        (format!("/products/search?q={many}"), 200, lamp.sku.as_str()),
        ("/products/search?q=l%C3%A1mp+lamp".to_owned(), 200, lamp.sku.as_str()),
        ("/products/search?q=%22lamp%22+%2Blamp+-lamp+la*+%25+_".to_owned(), 200, lamp.sku.as_str()),
        ("/products/search?q=lamp&min_price=9&max_price=8".to_owned(), 200, "\"items\":[]"),
        ("/products?min_price=9&max_price=8&count=exact&facets=price".to_owned(), 200, "\"count\":0"),
        ("/products?brand=%27%3B%20drop%20table%20products%3B--".to_owned(), 200, "\"items\":[]"),
        ("/products?category=a/b/c/d/e/f/g/h&in_stock=false&page=500".to_owned(), 200, "\"items\":[]"),
    ] {
        let answer = node.get(&path).await;
        let path: String = path.chars().take(80).collect();
        assert_eq!(answer.status.as_u16(), status, "{path}: {:?}", answer.body);
        assert!(String::from_utf8_lossy(&answer.body).contains(says), "{path}: {:?}", answer.body);
    }
}
