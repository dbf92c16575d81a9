//! Walks along the cursors of a large catalogue while a tenth of its prices change.

use std::collections::HashMap;

use catalog::ProductId;
use sqlx::PgConnection;
use testkit::{Databases, databases};

use super::{execute, walk_with};

const PRODUCTS: usize = 100_000;

/// Products with prices between 1 and 200 USD and many equal names, in no order of their ids.
async fn catalogue() -> (Databases, PgConnection) {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    execute(
        &mut connection,
        "insert into products (sku, name, price, currency, stock, version, created_at, updated_at)
        select 'S-' || n, 'Lamp ' || (n * 7919::bigint % 50000), 100 + n * 104729::bigint % 20000, 'USD', 1, 1, now(), now()
        from generate_series(1, 100000) as n",
    )
    .await;
    execute(&mut connection, "create table step as select 0 as done").await;
    execute(&mut connection, "analyze").await;
    (databases, connection)
}

/// New prices for ten products, others each time: for 10,000 in a thousand pages.
async fn change_prices(connection: &mut PgConnection) {
    execute(
        connection,
        "with step as (update step set done = done + 1 returning done)
        update products set price = 100 + (price * 31 + id * 17) % 20000, version = version + 1
        from step cross join generate_series(1, 10) as n
        where id = (done * 10 + n) * 7877::bigint % 100000 + 1",
    )
    .await;
}

/// How often each product was shown.
async fn times_shown(connection: &mut PgConnection, query: &str) -> HashMap<ProductId, usize> {
    let mut times = HashMap::new();
    for product in walk_with(connection, query, change_prices).await {
        *times.entry(product.id).or_default() += 1;
    }
    times
}

/// Products that have the price that they were put in with.
async fn unchanged(connection: &mut PgConnection) -> Vec<ProductId> {
    let ids: Vec<i64> =
        sqlx::query_scalar("select id from products where version = 1").fetch_all(connection).await.expect("ids");
    ids.into_iter().map(|id| ProductId::try_from(id).expect("an id")).collect()
}

#[tokio::test]
async fn a_walk_by_id_or_by_name_shows_each_of_100_000_products_once_while_prices_change() {
    let (_databases, mut connection) = catalogue().await;
    for query in ["sort=id&limit=100", "sort=name&limit=100"] {
        let times = times_shown(&mut connection, query).await;
        assert_eq!((times.len(), times.values().all(|shown| *shown == 1)), (PRODUCTS, true), "{query}");
    }
    assert!((80_000..=91_000).contains(&unchanged(&mut connection).await.len()), "a tenth changed in each");
}

#[tokio::test]
async fn a_walk_by_price_shows_what_kept_its_price_once_and_may_miss_or_repeat_what_did_not() {
    let (_databases, mut connection) = catalogue().await;
    let times = times_shown(&mut connection, "sort=price&limit=100").await;
    let unchanged = unchanged(&mut connection).await;
    assert!((89_000..=91_000).contains(&unchanged.len()), "a tenth changed");
    assert!(unchanged.iter().all(|id| times.get(id).is_some_and(|shown| *shown == 1)));
    let repeated = times.values().filter(|shown| **shown > 1).count();
    let missed = PRODUCTS - times.len();
    assert!(repeated > 100 && missed > 100, "{repeated} {missed}: they do move");
}
