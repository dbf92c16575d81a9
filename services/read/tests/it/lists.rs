//! `GET /products` without names: a list, page by page.

use catalog::Product;
use http::{Method, StatusCode, header};
use serde_json::Value;
use testkit::holds;

use crate::node::{RunningNode, World, insert, set_stock};

/// The targets of a `Link` header with their relations.
fn links(header: &str) -> Vec<(String, String)> {
    let link = |link: &str| {
        let (target, relation) = link.split_once("; rel=").unwrap();
        (relation.trim_matches('"').to_owned(), target.trim_matches(['<', '>']).to_owned())
    };
    header.split(", ").filter(|link| !link.is_empty()).map(link).collect()
}

fn items(body: &[u8]) -> Vec<Product> {
    let page: Value = serde_json::from_slice(body).unwrap();
    serde_json::from_value(page["items"].clone()).unwrap()
}

async fn lists(node: &RunningNode, path: &str, products: &[Product]) {
    holds(async || items(&node.get(path).await.body) == products).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_can_be_followed_along_its_links() {
    let mut world = World::new().await;
    let node = world.node().await;
    let mut products = Vec::new();
    for at in 0..5 {
        products.push(world.create(&format!("LAMP-{at}")).await);
    }

    let mut path = "/products?limit=2&in_stock=true&sort=name".to_owned();
    let mut followed = Vec::new();
    for _ in 0..3 {
        let page = node.get(&path).await;
        assert_eq!(page.status, StatusCode::OK);
        assert_eq!(page.header("cache-status"), "redis; fwd=bypass; detail=replica");
        assert_eq!(page.header("cache-control"), "public, max-age=0, must-revalidate");
        followed.extend(items(&page.body));
        let cursor = page.json::<Value>().unwrap()["next_cursor"].as_str().map(str::to_owned);
        let next = links(page.header("link")).into_iter().find(|(relation, _)| relation == "next");
        assert_eq!(next.is_some(), cursor.is_some());
        match next {
            Some((_, target)) => {
                assert!(target.ends_with(&format!("cursor={}", cursor.unwrap())), "{target}");
                path = target;
            }
            None => break,
        }
    }
    assert_eq!(followed, products);
}

#[tokio::test(flavor = "multi_thread")]
async fn counted_pages_link_to_their_neighbours_with_everything_else_kept() {
    let mut world = World::new().await;
    let node = world.node().await;
    for at in 0..5 {
        world.create(&format!("LAMP-{at}")).await;
    }
    sqlx::query("update products set brand = 'A & B/ü'").execute(&mut world.primary).await.unwrap();
    world.databases.replicated().await;

    let page = node.get("/products?brand=A%20%26%20B%2F%C3%BC&limit=2&page=2&sort=-price").await;

    let rest = "/products?brand=A+%26+B%2F%C3%BC&currency=USD&sort=-price&limit=2";
    let cursor = page.json::<Value>().unwrap()["next_cursor"].as_str().unwrap().to_owned();
    let expected =
        [("first", "page=1".to_owned()), ("prev", "page=1".to_owned()), ("next", format!("cursor={cursor}"))]
            .map(|(relation, begin)| (relation.to_owned(), format!("{rest}&{begin}")));
    assert_eq!(links(page.header("link")), expected);
    assert_eq!(items(&node.get(&expected[2].1).await.body).len(), 1);
    assert_eq!(items(&node.get(&expected[1].1).await.body).len(), 2);
    assert_eq!(node.get("/products?brand=Nobody").await.header("link"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_page_gets_it_again_only_when_it_has_changed() {
    let mut world = World::new().await;
    let node = world.node().await;
    let lamp = world.create("LAMP-1").await;

    let page = node.get("/products").await;
    let etag = page.header("etag").to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");
    let held = node.request(Method::GET, "/products", (header::IF_NONE_MATCH, &etag)).await;
    assert_eq!((held.status, held.body.len(), held.header("etag")), (StatusCode::NOT_MODIFIED, 0, etag.as_str()));
    let bare = node.request(Method::HEAD, "/products", (header::ACCEPT, "*/*")).await;
    assert_eq!((bare.status, bare.body.len(), bare.header("etag")), (StatusCode::OK, 0, etag.as_str()));

    let changed = world.set_stock(&lamp, 3).await;
    lists(&node, "/products", &[changed]).await;
    let changed = node.request(Method::GET, "/products", (header::IF_NONE_MATCH, &etag)).await;
    assert_eq!(changed.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_a_replica_that_lacks_an_event_is_read_from_the_primary() {
    let mut world = World::new().await;
    let (node, new) = world.node_ahead_of_its_replica().await;

    let page = node.get("/products").await;

    assert_eq!(items(&page.body), [new]);
    assert_eq!(page.header("cache-status"), "redis; fwd=bypass; detail=primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_page_has_shown_never_gets_older_on_this_node() {
    let mut world = World::new().await;
    let (frozen, mut replica) = world.frozen_replica().await;
    for database in [&mut world.primary, &mut replica] {
        let lamp = insert(database, "LAMP-1").await;
        set_stock(database, lamp.id, 3).await;
    }
    // No event tells of the change: only the node's own answer does.
    let node = world.node_with(&frozen.primary_url, &[]).await;
    let shown = node.get("/products").await;
    sqlx::query("update products set version = 1, stock = 4").execute(&mut replica).await.unwrap();

    let again = node.get("/products").await;

    assert_eq!(shown.header("cache-status"), "redis; fwd=bypass; detail=replica");
    assert_eq!(again.header("cache-status"), "redis; fwd=bypass; detail=primary");
    assert_eq!(items(&again.body)[0].version, items(&shown.body)[0].version);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contradiction_is_answered_without_asking() {
    let world = World::new().await;
    let node = world.node().await;
    let page = node.get("/products?min_price=2&max_price=1").await;
    assert_eq!(page.body, r#"{"items":[],"next_cursor":null}"#);
    assert_eq!(page.header("cache-status"), "redis; fwd=bypass; detail=none");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_refused_with_what_is_allowed() {
    let world = World::new().await;
    let node = world.node().await;
    let cursor = "AWEtBPSFEjxGAAAAAAAAAAE";
    let long = "x".repeat(3_000);
    for (path, status, detail) in [
        ("/products?colour=red".to_owned(), 400, "allowed are brand, category"),
        ("/products?q=lamp".to_owned(), 400, "allowed are brand, category"),
        ("/products?brand=A&brand=B".to_owned(), 400, "brand must stand only once"),
        ("/products?cursor=x".to_owned(), 400, "cursor is not one that was given out here"),
        (format!("/products?cursor={cursor}"), 400, "cursor belongs to another query"),
        (format!("/products?cursor={cursor}&page=2"), 400, "page and cursor exclude each other"),
        ("/products?page=101&limit=100".to_owned(), 400, "use cursor to go further"),
        ("/products?page=0".to_owned(), 422, "page must be an integer between 1 and 10000"),
        ("/products?limit=101".to_owned(), 422, "limit must be an integer between 1 and 100"),
        ("/products?sort=stock".to_owned(), 422, "sort must be one of id, name, price, -price, -created_at"),
        ("/products?min_price=1.999".to_owned(), 422, "min_price must have at most 2 decimals in USD"),
        ("/products?brand=a%00b".to_owned(), 422, "brand must not contain control characters"),
        (format!("/products?category={long}"), 422, "category must have 1 to 200 characters, has 3000"),
        (format!("/products?cursor={long}"), 400, "cursor "),
        (format!("/products?{long}=1"), 400, "allowed are brand"),
        ("/products/search".to_owned(), 422, "q is required"),
        ("/products/search?q=%20".to_owned(), 422, "q must have 1 to 200 characters"),
        ("/products/search?q=a%00b".to_owned(), 422, "q must not contain control characters"),
        (format!("/products/search?q={long}"), 422, "q must have 1 to 200 characters"),
        ("/products/search?q=a&sort=rank".to_owned(), 422, "sort must be one of relevance, id"),
    ] {
        let answer = node.get(&path).await;
        assert_eq!(answer.status, StatusCode::from_u16(status).unwrap(), "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.problem();
        let said = problem.errors.first().map_or(&problem.detail, |error| &error.detail);
        assert!(said.contains(detail), "{path}: {said}");
        assert!(answer.body.len() < 1_000, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_larger_page_is_compressed() {
    let mut world = World::new().await;
    let node = world.node().await;
    sqlx::query(
        "insert into products (sku, name, price, currency, stock, version, created_at, updated_at)
        select 'LAMP-' || at, 'Lamp', 1999, 'USD', 4, 1, now(), now() from generate_series(1, 20) at",
    )
    .execute(&mut world.primary)
    .await
    .unwrap();
    world.databases.replicated().await;
    let plain = node.get("/products").await;
    let packed = node.request(Method::GET, "/products", (header::ACCEPT_ENCODING, "gzip")).await;
    assert_eq!(items(&plain.body).len(), 20);
    assert_eq!((packed.header("content-encoding"), packed.header("etag")), ("gzip", plain.header("etag")));
    assert!(packed.body.len() < plain.body.len() / 4);
}
