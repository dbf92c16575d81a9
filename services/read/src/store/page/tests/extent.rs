//! Pages that are kept up with changes against what Postgres says after each of them.

use std::collections::VecDeque;
use std::sync::Arc;

use catalog::{ListFields, Product, ProductRow};
use events::{Change, Words};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use testkit::databases;

use super::{Stocked, parse};
use crate::pages::{Effect, Glance, Page, Sieve};
use crate::store;

const PRODUCTS: usize = 70;
const CHANGES: usize = 250;
/// Pages that are kept at a time.
const PAGES: usize = 24;
/// Changes that a new page hears again, though it was read after them: a position is an upper bound.
const HEARD_AGAIN: usize = 3;

const NAMES: [&str; 6] = ["Lamp", "Desk lamp", "Lamp for a desk", "Desk", "Chair", "Lämp lamp lamp"];
const BRANDS: [Option<&str>; 3] = [None, Some("Lumo"), Some("Desk")];
const CATEGORIES: [Option<&str>; 4] = [None, Some("light"), Some("light/lamps"), Some("lightning")];

/// Every kind of page, short ones above all: their ends are where mistakes show.
fn any_query() -> impl Strategy<Value = String> {
    let filters = prop::collection::vec(
        select(vec![
            "brand=Lumo",
            "category=light",
            "in_stock=true",
            "in_stock=false",
            "min_price=2",
            "max_price=4",
            "currency=USD",
        ]),
        0..3,
    );
    let sorts = select(vec!["", "sort=id", "sort=name", "sort=price", "sort=-price", "sort=-created_at"]);
    let words = select(vec![
        "",
        "",
        "",
        "q=lamp",
        "q=lamp+desk",
        "q=des",
        "q=lamp+des",
        "q=chai",
        "q=lumo+lamp",
        "q=chiar",
        "q=desk+nothing",
    ]);
    let page = select(vec!["", "", "page=2", "page=3"]);
    let tally = select(vec!["", "", "count=exact", "count=estimated", "facets=brand,category,price", "facets=price"]);
    (filters, sorts, words, 1..5, page, tally).prop_map(|(mut parts, sort, words, limit, page, tally)| {
        parts.sort_unstable();
        parts.dedup_by_key(|part| part.split('=').next());
        let limit = format!("limit={limit}");
        parts.extend([sort, words, &limit, page, tally]);
        parts.retain(|part| !part.is_empty());
        parts.join("&")
    })
}

/// What is changed of a product, as an assignment, or nothing for a deletion.
fn any_change() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        6 => (0..6).prop_map(|price| Some(format!("price = {}", price * 100))),
        6 => (0..3).prop_map(|stock| Some(format!("stock = {stock}"))),
        1 => select(NAMES.to_vec()).prop_map(|name| Some(format!("name = '{name}'"))),
        1 => select(vec!["null", "'Lumo'", "'Desk'"]).prop_map(|brand| Some(format!("brand = {brand}"))),
        1 => select(vec!["null", "'light'", "'light/lamps'"]).prop_map(|path| Some(format!("category = {path}"))),
        1 => Just(Some("currency = case currency when 'USD' then 'EUR' else 'USD' end".to_owned())),
        1 => Just(None),
    ]
}

/// The product, and what it is found by.
async fn stored(connection: &mut PgConnection, id: i64) -> (Product, String) {
    let row =
        sqlx::query("select *, array_to_string(tsvector_to_array(search), ' ') as words from products where id = $1")
            .bind(id)
            .fetch_one(connection)
            .await
            .expect("the product");
    let words = row.try_get("words").expect("words");
    let product = <ProductRow as sqlx::FromRow<_>>::from_row(&row).expect("a row").try_into().expect("a product");
    (product, words)
}

/// Creates a product.
async fn create(connection: &mut PgConnection, number: usize) -> Change {
    let product = Stocked {
        sku: &format!("SKU-{number}"),
        name: NAMES[number * 7 % NAMES.len()],
        brand: BRANDS[number % BRANDS.len()],
        category: CATEGORIES[number % CATEGORIES.len()],
        price: i64::try_from(number * 37 % 6).expect("small") * 100,
        stock: i32::try_from(number % 3).expect("small"),
        #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
        created_at_seconds: (number * 31 % 13) as f64,
        ..Stocked::default()
    };
    product.insert(connection).await;
    let id: i64 = sqlx::query_scalar("select max(id) from products").fetch_one(&mut *connection).await.expect("an id");
    let (after, words) = stored(connection, id).await;
    let words = Some(Words { before: None, after: Some(words) });
    Change { id: after.id, version: after.version, before: None, after: Some(after), words }
}

/// Changes a product, or deletes it.
async fn change(connection: &mut PgConnection, id: i64, assignment: Option<&str>) -> Change {
    let (before, old) = stored(connection, id).await;
    let assignment = assignment.unwrap_or("deleted_at = now()");
    let sql = format!("update products set {assignment}, version = version + 1 where id = $1");
    sqlx::query(AssertSqlSafe(sql)).bind(id).execute(&mut *connection).await.expect("a change");
    let (after, new) = stored(connection, id).await;
    let version = after.version;
    let texts = |product: &Product| (product.name.clone(), product.brand.clone(), product.category.clone());
    let has_new_texts = texts(&before) != texts(&after);
    let before = Some(ListFields::from(&before));
    if assignment.starts_with("deleted_at") {
        return Change {
            id: after.id,
            version,
            before,
            after: None,
            words: Some(Words { before: Some(old), after: None }),
        };
    }
    let words = Some(Words { before: has_new_texts.then_some(old), after: Some(new) });
    Change { id: after.id, version, before, after: Some(after), words }
}

async fn read(connection: &mut PgConnection, query: &str) -> Page {
    let query = parse(query);
    let (epoch, listing) = store::page(connection, &query).await.expect("a page");
    Page::new(epoch, Arc::new(query), listing)
}

/// The page after a change; `None` if that is not known.
fn after(page: Page, change: &Change, is_settled: bool) -> Option<Page> {
    let effect = page.extent.effect_of(change, is_settled);
    assert!(effect == Effect::None || Sieve::of(&page.extent).lets_through(&Glance::of(change)), "{change:?}");
    match effect {
        Effect::None => Some(page),
        Effect::Rows { from, to, tallies } => {
            let mut extent = page.extent;
            extent.follow(change, from, to, tallies).then(|| Page::of(page.epoch, extent))
        }
        Effect::Lost => None,
    }
}

#[tokio::test]
async fn a_page_that_is_kept_is_what_postgres_gives() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    let mut runner = TestRunner::deterministic();
    let mut created = 0;
    while created < PRODUCTS {
        create(&mut connection, created).await;
        created += 1;
    }
    let mut pages: Vec<(String, Page)> = Vec::new();
    let mut last: VecDeque<Change> = VecDeque::new();
    let (mut kept, mut dropped, mut needless) = (0, 0, 0);
    for _ in 0..CHANGES {
        while pages.len() < PAGES {
            let mut query = any_query().new_tree(&mut runner).expect("a query").current();
            let first: serde_json::Value =
                serde_json::from_slice(&read(&mut connection, &query).await.body).expect("a page");
            // Every other one goes on where another ends.
            if let Some(cursor) =
                first["next_cursor"].as_str().filter(|_| pages.len().is_multiple_of(2) && !query.contains("page="))
            {
                query = format!("{query}&cursor={cursor}");
            }
            let page = read(&mut connection, &query).await;
            if let Some(page) = last.iter().try_fold(page, |page, change| after(page, change, false)) {
                pages.push((query, page));
            }
        }
        let assignment = any_change().new_tree(&mut runner).expect("a change").current();
        let live: Vec<i64> = sqlx::query_scalar("select id from products where deleted_at is null order by id")
            .fetch_all(&mut connection)
            .await
            .expect("ids");
        let change = if live.len() < PRODUCTS {
            created += 1;
            create(&mut connection, created).await
        } else {
            let id = select(live).new_tree(&mut runner).expect("an id").current();
            change(&mut connection, id, assignment.as_deref()).await
        };
        for (query, page) in std::mem::take(&mut pages) {
            let now = read(&mut connection, &query).await;
            let was = page.body.clone();
            if let Some(page) = after(page, &change, true) {
                kept += 1;
                assert_eq!(page.body, now.body, "{query} after {change:?}");
                assert_eq!(page.etag, now.etag);
                pages.push((query, page));
            } else {
                dropped += 1;
                needless += usize::from(was == now.body);
            }
        }
        last.push_back(change);
        while last.len() > HEARD_AGAIN {
            last.pop_front();
        }
    }
    println!("{kept} times a page was kept, {dropped} times dropped, of these {needless} times needlessly");
    assert!(kept > 100 * needless && dropped > 10, "{kept} {dropped} {needless}");
}
