//! Lists by name that are too long to be gathered, wherever their names stand, and categories by the paths below them.

use sqlx::PgConnection;
use testkit::{Databases, databases};

use super::{execute, ids, page, skus, walk};

/// 25,000 products with names that stand first, and 5,100 of one brand and category with names that stand last.
async fn catalogue() -> (Databases, PgConnection) {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    execute(
        &mut connection,
        "insert into products (sku, name, brand, category, price, currency, stock, version, created_at, updated_at)
        select 'S-' || n,
            case when n % 59 < 10 then 'Zinc ' else 'Acorn ' end || (n * 7919::bigint % 9000),
            case when n % 59 < 10 then 'Zinc' end,
            case when n % 59 < 10 then 'shop/last' else 'shop/first' end,
            n % 1000, 'USD', 1, 1, now(), now()
        from generate_series(1, 30100) as n",
    )
    .await;
    execute(&mut connection, "analyze listing").await;
    (databases, connection)
}

async fn by_name(connection: &mut PgConnection, sql: &'static str) -> Vec<i64> {
    sqlx::query_scalar(sql).fetch_all(connection).await.expect("ids")
}

#[tokio::test]
async fn a_long_list_by_name_is_whole_and_in_order_wherever_its_names_stand() {
    let (_databases, mut connection) = catalogue().await;
    let last = by_name(&mut connection, "select id from listing where brand = 'Zinc' order by name, id").await;
    assert!(last.len() > 5_000, "{}", last.len());
    for query in ["category=shop/last", "brand=Zinc", "brand=Zinc&category=shop"] {
        let walked = walk(&mut connection, &format!("{query}&sort=name&limit=100")).await;
        assert!(ids(&walked) == last, "{query}: {} products, not {}", walked.len(), last.len());
    }
    let all = by_name(&mut connection, "select id from listing where price < 900 order by name, id").await;
    let first = page(&mut connection, "category=shop&max_price=8.99&sort=name&limit=100").await;
    assert_eq!(ids(&first.items), all[..100]);
    let fourth = page(&mut connection, "category=shop&max_price=8.99&sort=name&limit=100&page=4").await;
    assert_eq!(ids(&fourth.items), all[300..400]);
    let none = page(&mut connection, "category=shop/last&sort=name&limit=100&page=60").await;
    assert_eq!((none.items.len(), last.len() < 5_900), (0, true));
}

#[tokio::test]
async fn a_category_takes_in_itself_and_all_below_it_however_many_and_nothing_beside_it() {
    let databases = databases().await;
    let mut connection = databases.primary().await;
    let insert = "insert into products (sku, name, category, price, currency, stock, version, created_at, updated_at)
        select category, 'Name', category, 100, 'USD', 1, 1, now(), now() from ";
    for rows in [
        "unnest(array['desk', 'desk lamp', 'desk-lamp', 'desk.', 'desk/a', 'desk/a/b', 'desk0', 'des', 'Desk/a']) as category",
        // More than are looked up by their names.
        "(select 'many/' || n as category from generate_series(1, 150) as n) as path",
    ] {
        let sql = sqlx::AssertSqlSafe(format!("{insert}{rows}"));
        sqlx::query(sql).execute(&mut connection).await.expect("products");
    }
    let desk = page(&mut connection, "category=desk&count=exact&facets=category").await;
    assert_eq!(skus(&desk.items), ["desk", "desk/a", "desk/a/b"]);
    assert_eq!(desk.total.map(|total| total.count), Some(3));
    for sort in ["id", "name", "-price"] {
        let many = page(&mut connection, &format!("category=many&count=exact&limit=100&sort={sort}")).await;
        assert_eq!((many.items.len(), many.total.map(|total| total.count)), (100, Some(150)));
    }
    assert_eq!(page(&mut connection, "category=nowhere&count=exact").await.total.map(|total| total.count), Some(0));
}
