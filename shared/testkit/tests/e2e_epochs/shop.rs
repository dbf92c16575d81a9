//! The stack under test: its epoch, its members, and whether everything is right everywhere.

use std::collections::BTreeMap;

use cache::Entry;
use catalog::{Product, ProductId};
use client::{Client, Response};
use http::StatusCode;
use sqlx::{Connection, PgConnection};
use testkit::api::{set_price, try_read};
use testkit::{Options, TestStack, eventually, holds};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Starts a stack.
pub(crate) fn open(options: Options, env: &[(&str, &str)]) -> TestStack {
    tokio::task::block_in_place(|| testkit::stack(options, env))
}

pub(crate) fn kill(shop: &mut TestStack, member: &str) {
    tokio::task::block_in_place(|| shop.stack.process(member).unwrap().kill9());
}

pub(crate) fn stop(shop: &mut TestStack, member: &str) {
    tokio::task::block_in_place(|| shop.stack.process(member).unwrap().stop());
}

pub(crate) fn start_again(shop: &mut TestStack, member: &str) {
    tokio::task::block_in_place(|| shop.stack.start_again(member).unwrap());
}

pub(crate) async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

/// The number of the epoch, as a database has it.
pub(crate) async fn epoch(database: &str) -> i64 {
    sqlx::query_scalar("select number from epoch").fetch_one(&mut connect(database).await).await.unwrap()
}

/// What a product must have as `ETag`.
pub(crate) fn etag(product: &Product) -> String {
    format!("\"{}\"", product.version)
}

/// `Catalog-As-Of` of an answer.
pub(crate) fn moment(answer: &Response) -> Option<OffsetDateTime> {
    let text = answer.header("catalog-as-of");
    (!text.is_empty()).then(|| OffsetDateTime::parse(text, &Rfc3339).unwrap())
}

/// Waits until a node vouches for what was acknowledged up to now.
pub(crate) async fn vouches_for_now(node: &Client, id: ProductId) {
    let now = OffsetDateTime::now_utc();
    holds(async || {
        let answer = node.get(&format!("/products/{id}")).await;
        answer.is_ok_and(|answer| answer.status == StatusCode::OK && moment(&answer).is_some_and(|as_of| as_of > now))
    })
    .await;
}

/// The whole product as a database has it; `None` if it is not there.
pub(crate) async fn stored(database: &mut PgConnection, id: ProductId) -> Option<(i64, i64)> {
    let row = sqlx::query_as("select version, price from products where id = $1 and deleted_at is null");
    row.bind(id.get()).fetch_optional(database).await.unwrap()
}

/// No acknowledged change is lost, and every node comes to show all of them, as the primary has them, and goes on.
pub(crate) async fn is_right_everywhere(shop: &TestStack, primary: &str, acknowledged: &BTreeMap<ProductId, Product>) {
    assert!(!acknowledged.is_empty());
    let mut primary = connect(primary).await;
    let mut truth = BTreeMap::new();
    for (id, known) in acknowledged {
        let (version, price) = stored(&mut primary, *id).await.unwrap();
        assert!(version >= known.version.get(), "product {id} lost its version {}", known.version);
        assert!(version > known.version.get() || price == known.price.minor(), "product {id}");
        truth.insert(*id, (version, price));
    }
    for node in shop.read_nodes() {
        vouches_for_now(&node, *truth.keys().next().unwrap()).await;
        for (id, (version, price)) in &truth {
            // The node vouches for all of it already: it must be there at once, and stay.
            let answer = node.get(&format!("/products/{id}")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "product {id}: {:?}", answer.problem());
            let product: Product = answer.json().unwrap();
            assert_eq!((product.version.get(), product.price.minor()), (*version, *price), "product {id}");
            assert_eq!(answer.header("etag"), etag(&product));
        }
    }
}

/// A patch through the gateway is taken, and is seen on every read node; returns the answer to it.
pub(crate) async fn changes_arrive(shop: &TestStack, id: ProductId, price: &str) -> Response {
    let gateway = shop.gateway();
    let answer = eventually(async || {
        testkit::api::try_set_price(&gateway, id, price).await.filter(|answer| answer.status == StatusCode::OK)
    })
    .await;
    for node in shop.read_nodes() {
        holds(async || is_priced(&node, id, price).await).await;
    }
    answer
}

async fn is_priced(node: &Client, id: ProductId, price: &str) -> bool {
    let answer = node.get(&format!("/products/{id}")).await;
    answer.is_ok_and(|answer| {
        answer.status == StatusCode::OK && answer.json::<Product>().unwrap().price.to_string() == price
    })
}

/// Lets a node keep the product near and in Redis.
pub(crate) async fn is_cached(node: &Client, id: ProductId) {
    holds(async || {
        try_read(node, id).await.is_some()
            && node.get(&format!("/products/{id}")).await.unwrap().header("cache-status").contains("; hit")
    })
    .await;
}

pub(crate) async fn redis_connection(shop: &TestStack) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(shop.stack.urls().redis).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// What Redis holds of a product.
pub(crate) async fn cached(shop: &TestStack, id: ProductId) -> Option<Entry> {
    let value: Option<Vec<u8>> =
        redis::cmd("GET").arg(Entry::key(id)).query_async(&mut redis_connection(shop).await).await.unwrap();
    Some(Entry::decode(&value?.into()).unwrap())
}

/// Entries in Redis are brought up to date without anybody reading them.
pub(crate) async fn projector_goes_on(shop: &TestStack, products: &BTreeMap<ProductId, Product>) {
    let id = *products.keys().next().unwrap();
    for node in shop.read_nodes() {
        is_cached(&node, id).await;
    }
    let patched = set_price(&shop.gateway(), id, "9999.00").await;
    holds(async || cached(shop, id).await.is_some_and(|entry| entry.version == patched.version)).await;
}
