//! Patches that arrive together share a transaction, and nothing else.

use axum::http::StatusCode;
use futures_util::future::{join, join_all};
use sqlx::{AssertSqlSafe, Connection, PgPool};
use testkit::holds;

use crate::shop::Shop;

/// Lamps, each of its own sku.
async fn lamps(shop: &Shop, count: usize) -> Vec<i64> {
    let mut ids = Vec::new();
    for number in 0..count {
        let lamp = format!(r#"{{"sku":"LAMP-{number}","name":"Lamp","price":"19.99","stock":4}}"#);
        ids.push(shop.post(&lamp).await.json()["id"].as_i64().unwrap());
    }
    ids
}

/// How many transactions have left the events that wait.
async fn transactions(db: &PgPool) -> i64 {
    sqlx::query_scalar("select count(distinct xmin::text) from outbox where kind = 'updated'")
        .fetch_one(db)
        .await
        .unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn patches_that_come_together_share_a_transaction_and_each_gets_its_own_answer(db: PgPool) {
    let shop = Shop::new(db.clone());
    let ids = lamps(&shop, 2).await;
    let patches = [
        (ids[0], r#"{"stock":10}"#),
        (ids[1], r#"{"stock":20}"#),
        (ids[0], r#"{"currency":"JPY"}"#),
        (ids[0], r#"{"stock":10,"price":"20.00"}"#),
        (ids[1], r#"{"stock":20}"#),
        (i64::MAX, r#"{"stock":1}"#),
    ];
    let answers = join_all(patches.map(|(id, patch)| shop.patch(id, patch))).await;

    let told: Vec<_> = answers.iter().map(|answer| (answer.status.as_u16(), answer.header("etag"))).collect();
    assert_eq!(told, [(200, "\"2\""), (200, "\"2\""), (422, ""), (200, "\"3\""), (200, "\"2\""), (404, "")]);
    let first = answers[0].json();
    assert_eq!((first["stock"].as_i64(), first["price"].as_str()), (Some(10), Some("19.99")));
    let versions = [0, 1, 3, 4].map(|place| answers[place].token().product.unwrap().1.get());
    assert_eq!(versions, [2, 2, 3, 2]);
    assert_eq!(shop.stored(ids[0]).await.unwrap().to_json(), answers[3].body);
    assert_eq!((transactions(&db).await, shop.events().await.len()), (1, 5));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_product_that_another_transaction_holds_holds_up_no_other(db: PgPool) {
    let shop = Shop::new(db.clone());
    let ids = lamps(&shop, 3).await;
    let mut other = db.acquire().await.unwrap();
    let mut holder = other.begin().await.unwrap();
    sqlx::query("select from products where id = $1 for update").bind(ids[1]).execute(&mut *holder).await.unwrap();

    let held = join(shop.patch(ids[1], r#"{"stock":1}"#), shop.patch(ids[1], r#"{"stock":2}"#));
    let free = async {
        let answers = join(shop.patch(ids[0], r#"{"stock":1}"#), shop.patch(ids[2], r#"{"stock":1}"#)).await;
        let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())";
        holds(async || sqlx::query_scalar(waits).fetch_one(&db).await.unwrap()).await;
        holder.commit().await.unwrap();
        answers
    };
    let ((first, second), free) = join(held, free).await;
    assert_eq!((free.0.status, free.1.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!((first.header("etag"), second.header("etag")), ("\"2\"", "\"3\""), "in the order of their arrival");
    assert_eq!(shop.stored(ids[1]).await.unwrap().stock.get(), 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_patch_that_the_database_refuses_fails_alone(db: PgPool) {
    let shop = Shop::new(db.clone());
    let ids = lamps(&shop, 3).await;
    for statement in [
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$",
        &format!(
            "create trigger refuse before update on products for each row when (new.id = {}) execute function refuse()",
            ids[1]
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&db).await.unwrap();
    }
    let answers = join_all(ids.iter().map(|id| shop.patch(*id, r#"{"stock":1}"#))).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [200, 500, 200]);
    assert_eq!(shop.events().await.len(), 5);
}

#[sqlx::test(migrations = "../../migrations")]
async fn once_there_was_a_patch_none_waits_for_a_connection_though_others_use_all_that_they_may(db: PgPool) {
    let shop = Shop::new(db.clone());
    let lamp = shop.lamp().await;
    assert_eq!(shop.patch(lamp, r#"{"stock":2}"#).await.status, StatusCode::OK);
    let taken = join_all((0..db.options().get_max_connections()).map(|_| db.acquire())).await;
    assert!(taken.iter().all(Result::is_ok) && db.try_acquire().is_none());

    assert_eq!(shop.patch(lamp, r#"{"stock":1}"#).await.status, StatusCode::OK);
}
