//! Lists and searches on a real database.

mod extent;
mod list;
mod names;
mod search;
mod tally;
mod walks;

use std::sync::Arc;

use catalog::{Currency, Product};
use sqlx::PgConnection;

use crate::pages::{Page, PageQuery, ProductPage};
use crate::store;

/// More pages than any list here has: one that goes round in circles fails.
const PAGES_MAX: usize = 1_100;

/// A product to put in; the price is in minor units.
struct Stocked<'a> {
    sku: &'a str,
    name: &'a str,
    description: Option<&'a str>,
    brand: Option<&'a str>,
    category: Option<&'a str>,
    price: i64,
    currency: &'a str,
    stock: i32,
    created_at_seconds: f64,
}

impl Default for Stocked<'_> {
    fn default() -> Self {
        Self {
            sku: "SKU",
            name: "Name",
            description: None,
            brand: None,
            category: None,
            price: 100,
            currency: "USD",
            stock: 1,
            created_at_seconds: 0.0,
        }
    }
}

impl Stocked<'_> {
    async fn insert(&self, connection: &mut PgConnection) {
        sqlx::query(
            "insert into products
                (sku, name, description, brand, category, price, currency, stock, version, created_at, updated_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, 1, to_timestamp($9), to_timestamp($9))",
        )
        .bind(self.sku)
        .bind(self.name)
        .bind(self.description)
        .bind(self.brand)
        .bind(self.category)
        .bind(self.price)
        .bind(self.currency)
        .bind(self.stock)
        .bind(self.created_at_seconds)
        .execute(connection)
        .await
        .expect("a product that the table takes");
    }
}

async fn execute(connection: &mut PgConnection, sql: &'static str) {
    sqlx::query(sql).execute(connection).await.expect("a statement");
}

/// The query that a client would send to `/products` or, with words, to `/products/search`.
fn parse(query: &str) -> PageQuery {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let is_search = pairs.iter().any(|(name, _)| name == "q");
    let read = if is_search { PageQuery::search } else { PageQuery::list };
    read(pairs, Currency::default()).unwrap_or_else(|fault| panic!("{query}: {fault:?}"))
}

async fn page(connection: &mut PgConnection, query: &str) -> ProductPage {
    let query = parse(query);
    let (epoch, listing) = store::page(connection, &query).await.unwrap_or_else(|error| panic!("{query:?}: {error}"));
    let page = Page::new(epoch, Arc::new(query), listing);
    serde_json::from_slice(&page.body).expect("a page")
}

/// Every page from the first to the last, along the cursors.
async fn walk(connection: &mut PgConnection, query: &str) -> Vec<Product> {
    walk_with(connection, query, async |_| {}).await
}

/// Like [`walk`], with something happening between the pages.
async fn walk_with(
    connection: &mut PgConnection,
    query: &str,
    mut between: impl AsyncFnMut(&mut PgConnection),
) -> Vec<Product> {
    let mut walked = Vec::new();
    let mut next = query.to_owned();
    for _ in 0..PAGES_MAX {
        let page = page(connection, &next).await;
        walked.extend(page.items);
        let Some(cursor) = page.next_cursor else { return walked };
        next = format!("{query}&cursor={cursor}");
        between(connection).await;
    }
    panic!("{query} has no end");
}

fn ids(products: &[Product]) -> Vec<i64> {
    products.iter().map(|product| product.id.get()).collect()
}

fn skus(products: &[Product]) -> Vec<&str> {
    products.iter().map(|product| product.sku.as_str()).collect()
}
