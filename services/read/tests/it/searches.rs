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
