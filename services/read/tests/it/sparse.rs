//! `fields=`, `count=`, `facets=` and `GET /products/suggest`: less of what is kept, or more.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use testkit::holds;

use crate::node::{RunningNode, World};

async fn body(node: &RunningNode, path: &str) -> Value {
    node.get(path).await.json().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_gives_the_fields_that_are_asked_for_from_the_same_entries() {
    let mut world = World::new().await;
    let node = world.page_node(&["--near-bytes-max", "1000000"]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let sparse = json!({"sku": "LAMP-1", "price": "19.99"});
    let path = format!("/products/{}?fields=price,sku", lamp.id);
    holds(async || node.get(&path).await.header("cache-status") == "near; hit").await;
    assert_eq!(body(&node, &path).await, sparse);
    assert_eq!(node.get(&path).await.header("etag"), "W/\"1\"", "of a part of the version");

    for (list, missing) in [
        ("/products?", false),
        ("/products/search?q=lamp&", false),
        ("/products?ids=1&", true),
        ("/products?skus=LAMP-1&", true),
    ] {
        let whole = node.get(list.trim_end_matches(['?', '&'])).await;
        let answer = node.get(&format!("{list}fields=price,sku")).await;
        let page: Value = answer.json().unwrap();
        assert_eq!(page["items"], json!([sparse]), "{list}");
        assert_eq!(page.get("missing").is_some(), missing);
        assert!(answer.header("etag").starts_with("W/\"") && answer.header("etag") != whole.header("etag"));
        if !missing {
            assert_eq!(answer.header("cache-status"), "near; hit", "{list}");
        }
        let held = node
            .request(Method::GET, &format!("{list}fields=sku,price"), (header::IF_NONE_MATCH, answer.header("etag")))
            .await;
        assert_eq!(held.status, StatusCode::NOT_MODIFIED, "whatever else has changed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_lead_on_with_the_same_fields_and_counts_and_cursors_without() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let (one, two) = (world.create("LAMP-1").await, world.create("LAMP-2").await);
    node.has_seen(&two).await;
    let answer = node.get("/products?limit=1&fields=sku&count=exact&facets=price").await;
    let page: Value = answer.json().unwrap();
    assert_eq!(page["total"], json!({"count": 2, "is_exact": true}));
    assert_eq!(page["facets"], json!({"price": [{"min_price": "10.00", "max_price": "19.99", "count": 2}]}));
    let next = answer.header("link").trim_start_matches('<').split_once(">; rel=\"next\"").unwrap().0.to_owned();
    assert!(next.contains("&count=exact&facets=price&fields=sku&cursor="), "{next}");
    let second = body(&node, &next).await;
    assert_eq!(second["items"], json!([{"sku": two.sku}]));
    assert_eq!(second["total"]["count"], 2);
    let cursor = page["next_cursor"].as_str().unwrap();
    let plain = body(&node, &format!("/products?limit=1&cursor={cursor}")).await;
    assert_eq!((plain["items"][0]["id"].clone(), plain.get("total")), (json!(two.id), None));
    drop(one);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_facets_follow_what_enters_and_leaves() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    let (lamp, desk) = (world.create("LAMP-1").await, world.create("LAMP-2").await);
    let path = "/products?in_stock=true&limit=1&count=exact&facets=price";
    let total = async |node: &RunningNode| {
        let answer = node.get(path).await;
        let page: Value = answer.json().unwrap();
        assert_eq!(page["total"]["count"], page["facets"]["price"][0]["count"]);
        (page["total"]["count"].as_u64().unwrap(), answer.header("cache-status").to_owned())
    };
    holds(async || total(&node).await.0 == 2).await;
    world.heartbeat().await;
    world.heartbeat().await;
    holds(async || total(&node).await == (2, "near; hit".to_owned())).await;

    let sold = world.set_stock(&desk, 0).await;
    holds(async || node.get(path).await.json::<Value>().unwrap()["total"]["count"] != 2).await;
    assert_eq!(node.get(path).await.header("cache-status"), "near; hit");
    world.set_stock(&sold, 5).await;
    holds(async || total(&node).await == (2, "near; hit".to_owned())).await;
    world.delete(&lamp).await;
    holds(async || total(&node).await.0 == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_is_carried_on_from_the_same_pages_as_a_search() {
    let mut world = World::new().await;
    let node = world.page_node(&[]).await;
    sqlx::query("insert into products (sku, name, price, currency, stock, version, created_at, updated_at)
        values ('L-1', 'Desk lamp, white', 100, 'USD', 1, 1, now(), now()), ('L-2', 'Desk lantern', 100, 'USD', 1, 1, now(), now())")
        .execute(&mut world.primary).await.unwrap();
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let answer = node.get("/products/suggest?q=Desk%20la&limit=2").await;
    let suggested: Value = answer.json().unwrap();
    let products = suggested["products"].as_array().unwrap().iter().map(|it| it["sku"].clone()).collect::<Vec<_>>();
    assert_eq!(suggested["completions"], json!(["desk lamp", "desk lantern"]));
    assert_eq!(products, ["L-2", "L-1"]);
    assert!(!answer.header("catalog-as-of").is_empty());
    let again = node
        .request(Method::GET, "/products/suggest?q=desk+la&limit=2", (header::IF_NONE_MATCH, answer.header("etag")))
        .await;
    assert_eq!(
        (again.status, again.header("cache-status")),
        (StatusCode::NOT_MODIFIED, "redis; fwd=uri-miss; detail=replica; stored, near; fwd=uri-miss; stored")
    );
    let third = node.get("/products/suggest?q=desk+la").await;
    assert_eq!(third.header("cache-status"), "near; hit");
    assert_eq!(body(&node, "/products/suggest?q=!").await, json!({"completions": [], "products": []}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_for_is_refused_and_says_what_can() {
    let world = World::new().await;
    let node = world.node().await;
    for (path, status, says) in [
        ("/products/1?fields=colour", 422, "query parameter fields must be one or more of id, sku, name,"),
        ("/products/1?page=1", 400, "allowed are fields"),
        ("/products?fields=", 422, "query parameter fields must be"),
        ("/products?count=yes", 422, "query parameter count must be exact or estimated"),
        ("/products?facets=colour", 422, "must be one or more of brand, category, price"),
        ("/products?ids=1&fields=x", 422, "query parameter fields"),
        ("/products?ids=1&count=exact", 400, "allowed are ids, skus, fields"),
        ("/products/suggest", 422, "query parameter q is required"),
        ("/products/suggest?q=a&limit=21", 422, "must be an integer between 1 and 20"),
        ("/products/suggest?q=a&sort=id", 400, "allowed are q, limit"),
    ] {
        let answer = node.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(String::from_utf8_lossy(&answer.body).contains(says), "{path}: {:?}", answer.body);
    }
}
