//! A change and its event commit together or not at all, whatever the database does.

use std::time::Duration;

use axum::http::StatusCode;
use catalog::{Product, ProductId};
use events::{ChangeKind, Envelope, Epoch, Position, Stamp, Words};
use freshet_write::database;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use testkit::{eventually, holds};
use uuid::Uuid;

use crate::shop::Shop;

/// Half of what the stream takes in one message (`max_msg_size` in `nats/catalog.json`), headers included.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// From now on the database refuses every new row of `table`.
async fn refuse_rows(db: &PgPool, table: &str) {
    for statement in [
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'refused'; end $$",
        &format!("create trigger refuse before insert or update on {table} for each row execute function refuse()"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(db).await.unwrap();
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_change_whose_event_cannot_be_stored_is_not_stored(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    let before = shop.stored(id).await;
    refuse_rows(&db, "outbox").await;

    let created = shop.post(r#"{"sku":"LAMP-2","name":"Lamp","price":"1"}"#).await;
    let patched = shop.patch(id, r#"{"stock":1}"#).await;
    let deleted = shop.delete(id).await;

    for answer in [created, patched, deleted] {
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.pointers().is_empty());
        assert_eq!(answer.json()["detail"], "the service failed; the request id is in its log");
    }
    let results = shop.import_all("{\"sku\":\"LAMP-3\",\"name\":\"Lamp\",\"price\":\"1\"}\n").await;
    assert_eq!(results[0]["status"], 500);
    assert_eq!((shop.count_products().await, shop.stored(id).await), (1, before));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_change_that_cannot_be_stored_leaves_no_event(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    refuse_rows(&db, "products").await;
    assert_eq!(shop.patch(id, r#"{"stock":1}"#).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(shop.delete(id).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(shop.events().await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_commit_wakes_the_relay_and_nothing_else_does(db: PgPool) {
    let shop = Shop::new(db);
    let has_woken = || tokio::time::timeout(Duration::ZERO, shop.app.primary.committed.notified());
    let id = shop.lamp().await;
    assert!(has_woken().await.is_ok());
    shop.patch(id, "{}").await;
    shop.post("{}").await;
    assert!(has_woken().await.is_err());
    shop.import_all("{\"sku\":\"LAMP-2\",\"name\":\"Lamp\",\"price\":\"1\"}\n").await;
    assert!(has_woken().await.is_ok());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_database_that_is_away_is_a_503_that_says_when_to_come_back(db: PgPool) {
    // Nothing listens on port 1.
    let away = (*db.connect_options()).clone().port(1);
    let shop = Shop::new(database::pool(&away, 2)).with_key(Shop::new(db).key().await);
    let answer = shop.post(r#"{"sku":"LAMP-1","name":"Lamp","price":"1"}"#).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    assert!(answer.pointers().is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_server_that_became_read_only_is_a_503(db: PgPool) {
    let read_only = (*db.connect_options()).clone().options([("default_transaction_read_only", "on")]);
    let shop = Shop::new(database::pool(&read_only, 2)).with_key(Shop::new(db).key().await);
    let answer = shop.post(r#"{"sku":"LAMP-1","name":"Lamp","price":"1"}"#).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_session_that_the_server_ends_is_a_503_and_the_next_request_gets_another(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 2));
    let id = shop.lamp().await;
    let mut holder = db.begin().await.unwrap();
    sqlx::query("select id from products where id = $1 for update").bind(id).execute(&mut *holder).await.unwrap();
    let end_the_waiting_session = async {
        eventually(async || {
            let ended: Option<bool> = sqlx::query_scalar(
                "select pg_terminate_backend(pid)
                 from pg_stat_activity
                 where datname = current_database()
                   and application_name = 'freshet-write'
                   and wait_event_type = 'Lock'",
            )
            .fetch_optional(&db)
            .await
            .unwrap();
            ended
        })
        .await
    };

    let (answer, _) = tokio::join!(shop.patch(id, r#"{"stock":1}"#), end_the_waiting_session);
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    holder.rollback().await.unwrap();
    assert_eq!(shop.patch(id, r#"{"stock":1}"#).await.status, StatusCode::OK);
}

#[sqlx::test(migrations = "../../migrations")]
async fn when_the_server_ends_the_session_of_patches_the_next_ones_get_another_and_none_is_lost(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 4));
    let id = shop.lamp().await;
    for stock in 1..=5 {
        assert_eq!(shop.patch(id, &format!(r#"{{"stock":{}}}"#, stock * 100)).await.status, StatusCode::OK);
        let ended: i64 = sqlx::query_scalar(
            "select count(*) filter (where pg_terminate_backend(pid, 10000)) from pg_stat_activity
             where datname = current_database() and application_name = 'freshet-write'",
        )
        .fetch_one(&db)
        .await
        .unwrap();
        assert!(ended > 0);

        let patch = format!(r#"{{"stock":{stock}}}"#);
        holds(async || {
            let answer = shop.patch(id, &patch).await;
            let is_stored = answer.status == StatusCode::OK;
            let is_to_be_repeated =
                (answer.status, answer.header("retry-after")) == (StatusCode::SERVICE_UNAVAILABLE, "1");
            assert!(is_stored || is_to_be_repeated, "{}", answer.status);
            is_stored
        })
        .await;
        let stored: i32 =
            sqlx::query_scalar("select stock from products where id = $1").bind(id).fetch_one(&db).await.unwrap();
        assert_eq!(stored, stock);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_largest_product_is_stored_and_its_event_fits_a_message(db: PgPool) {
    let shop = Shop::new(db);
    // Four bytes a character, or two where only ASCII is allowed: nothing that is allowed takes more.
    let wide = |from: u32, count: usize| -> String {
        (0..count).map(|at| char::from_u32(from + u32::try_from(at % 997).unwrap()).unwrap()).collect()
    };
    let largest = |from: u32| {
        json!({
            "name": wide(from, 500), "description": wide(from, 10_000), "brand": wide(from, 100),
            "category": wide(from, 200), "image_url": format!("/{}", "\"".repeat(2_047)),
            "price": "9999999999999.99", "currency": "USD", "stock": i32::MAX,
        })
    };
    let mut new = largest(0x1_F300);
    new["sku"] = "x".repeat(64).into();
    let created = shop.post(&new.to_string()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    let patched = shop.patch(created.json()["id"].as_i64().unwrap(), &largest(0x2_0000).to_string()).await;
    assert_eq!(patched.status, StatusCode::OK);

    let stamp = Stamp { epoch: Epoch(u64::MAX), position: Position(u64::MAX), previous: Some(Uuid::max()) };
    for event in shop.events().await {
        let Product { id, updated_at, .. } = event.change.after.clone().unwrap();
        let kind: ChangeKind = event.change.kind();
        let subject = ProductId::to_string(&id);
        let envelope = Envelope::new(Uuid::max(), &kind.event_type(), Some(subject), updated_at, stamp, event.change);
        let size = envelope.to_json().len();
        assert!(size < EVENT_BYTES_MAX, "{size}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_event_carries_the_lexemes_that_its_product_is_found_by(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    let words = async || -> String {
        let sql = "select array_to_string(tsvector_to_array(search), ' ') from products where id = $1";
        sqlx::query_scalar(sql).bind(id).fetch_one(&db).await.unwrap()
    };
    let first = words().await;
    shop.patch(id, r#"{"stock":3}"#).await;
    shop.patch(id, r#"{"name":"A desk's lamps","price":"3.00"}"#).await;
    let second = words().await;
    shop.import_all("{\"sku\":\"LAMP-1\",\"name\":\"Fan\",\"price\":\"1\"}\n").await;
    let third = words().await;
    shop.delete(id).await;

    let carried: Vec<Words> = shop.events().await.into_iter().map(|event| event.change.words.unwrap()).collect();
    let words =
        |before: Option<&String>, after: Option<&String>| Words { before: before.cloned(), after: after.cloned() };
    assert!(first != second && second != third);
    assert_eq!(
        carried,
        [
            words(None, Some(&first)),
            words(None, Some(&first)),
            words(Some(&first), Some(&second)),
            words(Some(&second), Some(&third)),
            words(Some(&third), None),
        ]
    );
}
