//! Every order and filter against the same in plain Rust, on products with many ties.

use std::cmp::Ordering;

use catalog::Product;
use events::Epoch;
use sqlx::PgConnection;
use testkit::databases;

use super::{Stocked, execute, ids, page, parse, walk, walk_with};
use crate::pages::{Filters, Sort};
use crate::store;

const PRODUCTS: i64 = 240;

const BRANDS: [Option<&str>; 4] = [None, Some("Lumo"), Some("Lumo & Söhne"), Some("lumo")];
/// In byte order `-` stands before `/` and `0` after it: none of these may be taken for something below `lighting`.
const CATEGORIES: [Option<&str>; 7] = [
    None,
    Some("lighting"),
    Some("lighting/lamps"),
    Some("lighting/lamps/desk"),
    Some("lighting-parts"),
    Some("lighting0"),
    Some("light"),
];
const NAMES: [&str; 5] = ["Lamp", "lamp", "Lämp", "Lamp 2", "Zebra"];
const CURRENCIES: [&str; 3] = ["USD", "EUR", "JPY"];

const FILTERS: [&str; 12] = [
    "",
    "brand=Lumo",
    "brand=Lumo+%26+S%C3%B6hne",
    "brand=Nobody",
    "category=lighting",
    "category=lighting/lamps",
    "in_stock=true",
    "in_stock=false",
    "currency=EUR",
    "min_price=1&max_price=3.50",
    "min_price=2.01&currency=EUR",
    "brand=Lumo&category=lighting&in_stock=true&min_price=0.5&max_price=5",
];

/// Products whose fields repeat at different intervals, so that all of them meet; every seventh is deleted.
async fn seed(connection: &mut PgConnection) -> Vec<Product> {
    for at in 0..PRODUCTS {
        let pick = |interval: i64, many: usize| usize::try_from(at / interval).expect("not negative") % many;
        let product = Stocked {
            sku: &format!("SKU-{at}"),
            name: NAMES[pick(3, NAMES.len())],
            brand: BRANDS[pick(1, BRANDS.len())],
            category: CATEGORIES[pick(2, CATEGORIES.len())],
            price: (at * 37 % 11) * 50,
            currency: CURRENCIES[pick(5, CURRENCIES.len())],
            stock: i32::try_from(at % 3).expect("small"),
            // Microseconds count.
            #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
            created_at_seconds: (at * 31 % 13) as f64 / 1_000_000.0,
            ..Stocked::default()
        };
        product.insert(connection).await;
    }
    execute(connection, "update products set deleted_at = now() where id % 7 = 0").await;
    let live = walk(connection, "limit=100").await;
    assert_eq!(live.len(), 240 - 34);
    live
}

fn passes(product: &Product, filters: &Filters) -> bool {
    let brand = filters.brand.as_ref().is_none_or(|brand| product.brand.as_ref() == Some(brand));
    let category = filters.category.as_ref().is_none_or(|wanted| {
        let steps = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        product
            .category
            .as_ref()
            .is_some_and(|category| steps(category.as_str()).starts_with(&steps(wanted.0.as_str())))
    });
    let in_stock = filters.in_stock.is_none_or(|in_stock| (product.stock.get() > 0) == in_stock);
    let currency = filters.currency.is_none_or(|currency| product.currency == currency);
    let min = filters.min_price.is_none_or(|min| product.price.minor() >= min.minor());
    let max = filters.max_price.is_none_or(|max| product.price.minor() <= max.minor());
    brand && category && in_stock && currency && min && max
}

fn order(sort: Sort, a: &Product, b: &Product) -> Ordering {
    let by_id = a.id.cmp(&b.id);
    match sort {
        Sort::Relevance | Sort::Id => by_id,
        Sort::Name => a.name.as_str().as_bytes().cmp(b.name.as_str().as_bytes()).then(by_id),
        Sort::Price => a.price.minor().cmp(&b.price.minor()).then(by_id),
        Sort::PriceDescending => order(Sort::Price, b, a),
        Sort::NewestFirst => b.created_at.cmp(&a.created_at).then(by_id.reverse()),
    }
}

#[tokio::test]
async fn every_order_with_every_filter_shows_what_belongs_there_once_and_in_order() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    let live = seed(&mut connection).await;
    for sort in Sort::LISTED {
        for filter in FILTERS {
            let query = format!("{filter}&sort={}&limit=7", sort.word()).trim_start_matches('&').to_owned();
            let filters = parse(&query).filters;
            let mut expected: Vec<Product> = live.iter().filter(|product| passes(product, &filters)).cloned().collect();
            expected.sort_by(|a, b| order(sort, a, b));
            assert_eq!(ids(&walk(&mut connection, &query).await), ids(&expected), "{query}");

            let mut counted = Vec::new();
            for number in 1..=expected.len().div_ceil(7) + 1 {
                counted.extend(page(&mut connection, &format!("{query}&page={number}")).await.items);
            }
            assert_eq!(ids(&counted), ids(&expected), "{query}, counted");
        }
    }
}

#[tokio::test]
async fn changing_prices_move_nothing_in_lists_that_are_not_by_price() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    let live = seed(&mut connection).await;
    for sort in [Sort::Id, Sort::Name, Sort::NewestFirst] {
        let walked = walk_with(&mut connection, &format!("sort={}&limit=9", sort.word()), async |connection| {
            execute(connection, "update products set price = (price * 7 + id) % 1000, version = version + 1").await;
        })
        .await;
        let mut expected = live.clone();
        expected.sort_by(|a, b| order(sort, a, b));
        assert_eq!(ids(&walked), ids(&expected), "{}", sort.word());
    }
}

#[tokio::test]
async fn the_narrow_rows_say_what_the_products_say_whatever_changes() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    seed(&mut connection).await;
    for change in [
        "update products set price = price + 1 where id % 2 = 0",
        "update products set currency = 'SEK' where id % 3 = 0",
        "update products set stock = case when stock = 0 then 1 else 0 end where id % 5 = 0",
        "update products set stock = stock + 1",
        "update products set name = name || '!', brand = null where id % 11 = 0",
        "update products set category = 'other' where id % 13 = 0",
        "update products set deleted_at = now() where id % 17 = 0",
        "delete from products where id % 19 = 0",
    ] {
        execute(&mut connection, change).await;
        let differences: i64 = sqlx::query_scalar(
            "with wanted as (
                select id, name, brand, category, currency, price, stock > 0, created_at
                from products
                where deleted_at is null
            )
            select count(*)
            from ((table wanted except table listing) union (table listing except table wanted)) as differing",
        )
        .fetch_one(&mut connection)
        .await
        .expect("a count");
        assert_eq!(differences, 0, "{change}");
    }
}

#[tokio::test]
async fn a_full_last_page_has_no_next_one() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    for sku in ["A", "B", "C", "D"] {
        Stocked { sku, ..Stocked::default() }.insert(&mut connection).await;
    }
    let first = page(&mut connection, "limit=2").await;
    let cursor = first.next_cursor.expect("two more");
    let second = page(&mut connection, &format!("limit=2&cursor={cursor}")).await;
    assert_eq!((second.items.len(), second.next_cursor), (2, None));
    assert_eq!(
        page(&mut connection, "limit=2&page=3").await,
        crate::pages::ProductPage { items: Vec::new(), next_cursor: None, total: None, facets: None }
    );
}

#[tokio::test]
async fn the_epoch_comes_with_a_page_and_with_an_empty_one() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    execute(&mut connection, "update epoch set number = 1700000000001").await;
    let (epoch, listing) = store::page(&mut connection, &parse("brand=Nobody")).await.expect("an empty page");
    assert_eq!((epoch, listing.found.len()), (Epoch(1_700_000_000_001), 0));
    Stocked::default().insert(&mut connection).await;
    let (epoch, listing) = store::page(&mut connection, &parse("")).await.expect("a page");
    assert_eq!((epoch, listing.found.len()), (Epoch(1_700_000_000_001), 1));
}
