//! Totals and facets against the products that there are.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{ListFields, Product};
use events::Change;
use sqlx::PgConnection;
use testkit::{Databases, databases};

use super::{Stocked, execute, page, parse};
use crate::pages::{Effect, Page, ProductPage};
use crate::store;

async fn shop() -> (Databases, PgConnection) {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    let products = [
        ("light/lamps/desk", Some("Lumo"), 1_999, "USD"),
        ("light/lamps", Some("Lumo"), 2_000, "USD"),
        ("light", None, 99, "USD"),
        ("lightning", Some("Bolt"), 100, "USD"),
        ("light/lamps/floor", Some("Bolt"), 5_000_000, "USD"),
        ("light/candles", Some("Lumo"), 300, "JPY"),
    ];
    for (at, (category, brand, price, currency)) in products.into_iter().enumerate() {
        let (sku, category) = (format!("L-{at}"), Some(category));
        Stocked { sku: &sku, name: "Lamp", brand, category, price, currency, ..Stocked::default() }
            .insert(&mut connection)
            .await;
    }
    (databases, connection)
}

fn counts(page: &ProductPage, facet: &str) -> BTreeMap<String, u64> {
    let facets = serde_json::to_value(page.facets.as_ref().expect("facets")).expect("they are JSON");
    let values = facets[facet].as_array().expect("a facet").iter();
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let value = |it: &serde_json::Value| {
        text(&it["value"]).or_else(|| Some(format!("{}-{}", text(&it["min_price"])?, text(&it["max_price"])?)))
    };
    values.map(|it| (value(it).expect("a value"), it["count"].as_u64().expect("a number"))).collect()
}

fn of<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(value, count)| (value.to_owned(), count)).collect()
}

#[tokio::test]
async fn facets_count_all_products_that_pass_the_filters_whatever_the_page_shows() {
    let (_databases, mut connection) = shop().await;
    for window in ["limit=1", "limit=1&page=2", "limit=100"] {
        let all = page(&mut connection, &format!("{window}&facets=brand,category,price")).await;
        assert_eq!(counts(&all, "brand"), of([("Lumo", 3), ("Bolt", 2)]));
        assert_eq!(counts(&all, "category"), of([("light", 5), ("lightning", 1)]));
        let bands =
            [("0.00-0.99", 1), ("1.00-1.99", 1), ("10.00-19.99", 1), ("20.00-49.99", 1), ("50000.00-99999.99", 1)];
        assert_eq!(counts(&all, "price"), of(bands), "of the default currency");
        assert_eq!(all.total, None);
    }
    let light = page(&mut connection, "category=light&facets=category&count=exact").await;
    assert_eq!(counts(&light, "category"), of([("light/lamps", 3), ("light/candles", 1)]));
    assert_eq!(light.total.map(|total| (total.count, total.is_exact)), Some((5, true)));
    let yen = page(&mut connection, "category=light&facets=price&currency=JPY").await;
    assert_eq!(counts(&yen, "price"), of([("200-499", 1)]));
    let nobody = page(&mut connection, "brand=Nobody&facets=brand,price&count=exact").await;
    assert_eq!((counts(&nobody, "brand"), nobody.total.map(|total| total.count)), (of([]), Some(0)));
    let found = page(&mut connection, "q=lamp&brand=Lumo&max_price=19.99&facets=category,brand&count=estimated").await;
    assert_eq!(counts(&found, "category"), of([("light", 1)]));
    assert_eq!(found.total.map(|total| (total.count, total.is_exact)), Some((1, true)));
}

#[tokio::test]
async fn a_change_that_the_snapshot_showed_before_the_stream_is_not_counted_again() {
    let (_databases, mut connection) = shop().await;
    let query = Arc::new(parse("category=light&count=exact&facets=price&limit=1"));
    let before: Product = page(&mut connection, "category=light/candles").await.items.remove(0);
    execute(&mut connection, "update products set category = 'gone', version = 2 where sku = 'L-5'").await;
    execute(
        &mut connection,
        r#"insert into outbox (event_id, product_id, kind, data, created_at)
        select gen_random_uuid(), id, 'updated', '{"version":2}', now() from products where sku = 'L-5'"#,
    )
    .await;
    let after = page(&mut connection, "category=gone").await.items.remove(0);
    let (epoch, listing) = store::page(&mut connection, &query).await.expect("a page");
    let shown = Page::new(epoch, query, listing);
    let change = |version: i64| Change {
        id: after.id,
        version: version.try_into().expect("a version"),
        before: Some(ListFields::from(&before)),
        after: Some(after.clone()),
        words: None,
    };
    assert_eq!(shown.extent.effect_of(&change(2), true), Effect::None);
    assert_eq!(shown.extent.effect_of(&change(3), true), Effect::Rows { from: None, to: None, tallies: true });
    assert_eq!(shown.extent.effect_of(&change(3), false), Effect::Lost);
}

#[tokio::test]
async fn the_most_usual_values_of_a_facet_are_told() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    execute(
        &mut connection,
        "insert into products (sku, name, brand, price, currency, stock, version, created_at, updated_at)
        select 'S-' || n, 'Lamp', 'Brand ' || (n % 1200), 100, 'USD', 1, 1, now(), now()
        from generate_series(1, 1300) as n",
    )
    .await;
    let all = page(&mut connection, "facets=brand").await;
    let counts = counts(&all, "brand");
    assert_eq!((counts.len(), counts.values().all(|count| *count == 2)), (50, true));
}

#[tokio::test]
async fn what_is_too_much_to_count_is_estimated_and_says_so() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    execute(
        &mut connection,
        "insert into products (sku, name, category, price, currency, stock, version, created_at, updated_at)
        select 'S-' || n, case when n > 50000 then 'Desk' else 'Lamp' end, 'light', 100, 'USD', n % 2, 1, now(), now()
        from generate_series(1, 50200) as n",
    )
    .await;
    execute(&mut connection, "analyze products").await;
    execute(&mut connection, "analyze listing").await;
    for (query, least, most, is_exact) in [
        ("count=exact", 45_000, 60_000, false),
        ("count=exact&category=light", 45_000, 60_000, false),
        ("count=estimated", 45_000, 60_000, false),
        ("count=exact&in_stock=true", 25_100, 25_100, true),
        ("count=estimated&in_stock=true", 15_000, 35_000, false),
        ("count=estimated&category=light&in_stock=true", 25_100, 25_100, true),
        ("count=estimated&category=light&in_stock=true&sort=name", 25_100, 25_100, true),
        ("count=exact&q=lamp", 50_000, 50_000, true),
        ("count=estimated&q=desk", 200, 200, true),
    ] {
        let total = page(&mut connection, query).await.total.expect("a total");
        assert!((least..=most).contains(&total.count), "{query}: {total:?}");
        assert_eq!(total.is_exact, is_exact, "{query}");
    }
}
