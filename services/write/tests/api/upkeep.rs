//! Months of the history come and go, and keys are forgotten, while writes go on.

use std::time::Duration;

use axum::http::StatusCode;
use freshet_write::database;
use freshet_write::upkeep::{Round, keep_up};
use futures_util::future::{join, join_all};
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgPool};
use testkit::eventually;
use time::OffsetDateTime;

use crate::shop::Shop;

const MONTHS_KEPT: u32 = 24;

async fn now(db: &PgPool) -> OffsetDateTime {
    sqlx::query_scalar("select clock_timestamp()").fetch_one(db).await.unwrap()
}

async fn round(db: &PgPool, now: OffsetDateTime) -> Round {
    keep_up(&mut db.acquire().await.unwrap(), now, MONTHS_KEPT).await.unwrap()
}

fn names<T: ToString>(months: &[T]) -> Vec<String> {
    months.iter().map(ToString::to_string).collect()
}

/// The name of the month that many months from the present one.
async fn month(db: &PgPool, months: i32) -> String {
    // From the first day, so that no month is left out.
    let first_day = "date_trunc('month', now() at time zone 'UTC') + make_interval(months => $1)";
    let name = format!("select to_char({first_day}, '\"product_history_\"YYYY_MM')");
    sqlx::query_scalar(AssertSqlSafe(name)).bind(months).fetch_one(db).await.unwrap()
}

/// How many rows each partition holds that holds any.
async fn rows(db: &PgPool) -> Vec<(String, i64)> {
    let rows = "select tableoid::regclass::text, count(*) from product_history group by 1 order by 1";
    sqlx::query_as(rows).fetch_all(db).await.unwrap()
}

async fn partitions(db: &PgPool) -> Vec<String> {
    let names =
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'product_history'::regclass order by 1";
    sqlx::query_scalar(names).fetch_all(db).await.unwrap()
}

async fn add_past_change(db: &PgPool, product_id: i64, changed_at: OffsetDateTime) {
    sqlx::query("insert into product_history (product_id, version, changed_at, actor) values ($1, 1, $2, 'past')")
        .bind(product_id)
        .bind(changed_at)
        .execute(db)
        .await
        .unwrap();
}

async fn history(shop: &Shop, id: i64) -> Vec<Value> {
    shop.history(&format!("/products/{id}/history")).await
}

#[sqlx::test(migrations = false)]
async fn a_new_database_has_this_month_and_the_next_two(db: PgPool) {
    database::migrate(&db.connect_options(), MONTHS_KEPT).await.unwrap();
    let mut expected = vec![month(&db, 0).await, month(&db, 1).await, month(&db, 2).await];
    expected.push("product_history_rest".to_owned());
    assert_eq!(partitions(&db).await, expected);
    assert_eq!(round(&db, now(&db).await).await, Round::default());

    Shop::new(db.clone()).lamp().await;
    assert_eq!(rows(&db).await, [(month(&db, 0).await, 1)]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_written_before_its_month_was_made_is_moved_into_it_and_nothing_is_lost(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    for stock in 10..30 {
        shop.patch(id, &format!(r#"{{"stock":{stock}}}"#)).await;
    }
    // A month that went by without upkeep, and one that is kept no longer.
    add_past_change(&db, id + 1, now(&db).await - Duration::from_hours(24 * 70)).await;
    add_past_change(&db, id + 2, now(&db).await - Duration::from_hours(24 * 1_000)).await;
    let before = history(&shop, id).await;
    assert_eq!(rows(&db).await, [("product_history_rest".to_owned(), 23)]);

    let done = round(&db, now(&db).await).await;
    assert_eq!((done.made.len(), done.dropped.len(), done.rows_deleted), (4, 0, 1), "{done:?}");
    assert_eq!(names(&done.made)[1..], [month(&db, 0).await, month(&db, 1).await, month(&db, 2).await]);
    assert_eq!(rows(&db).await, [(names(&done.made)[0].clone(), 1), (month(&db, 0).await, 21)]);
    assert_eq!(history(&shop, id).await, before);

    shop.patch(id, r#"{"stock":1}"#).await;
    assert_eq!(rows(&db).await[1], (month(&db, 0).await, 22));
    assert_eq!(history(&shop, id).await.len(), 22);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_month_goes_when_all_of_it_is_older_than_what_is_kept(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    let now = now(&db).await;
    round(&db, now).await;
    let first = month(&db, 0).await;
    // A month later than kept is 24 × 31 days at most.
    let later = now + Duration::from_hours(24 * 31 * 26);
    let done = round(&db, later).await;
    assert!(names(&done.dropped).contains(&first), "{done:?}");
    assert_eq!(done.made.len(), 3);
    assert!(!partitions(&db).await.contains(&first));

    // The product is known, and its history no longer reaches back so far.
    assert_eq!(history(&shop, id).await, Vec::<Value>::new());
    assert_eq!(shop.patch(id, r#"{"stock":1}"#).await.status, StatusCode::OK);
    assert_eq!(history(&shop, id).await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn writes_go_on_while_their_month_is_made_and_others_are_made_and_dropped(db: PgPool) {
    let shops = Shop::two(&db).await;
    let id = shops[0].lamp().await;
    let present = now(&db).await;
    let past = present - Duration::from_hours(24 * 31 * 40);
    let upkeep = async {
        let mut connection = db.acquire().await.unwrap();
        let mut dropped = 0;
        for at in [past, present, past, present, past, present] {
            // On a machine that is busy a round may have to leave something to the next one.
            dropped += eventually(async || keep_up(&mut connection, at, MONTHS_KEPT).await.ok()).await.dropped.len();
        }
        dropped
    };
    let patches = async {
        let mut answers = Vec::new();
        for batch in 0..20 {
            let patches: Vec<_> = (0..10).map(|at| format!(r#"{{"stock":{}}}"#, 100 + batch * 10 + at)).collect();
            answers
                .extend(join_all(patches.iter().enumerate().map(|(at, patch)| shops[at % 2].patch(id, patch))).await);
        }
        answers
    };
    let (dropped, answers) = join(upkeep, patches).await;
    assert_eq!(dropped, 9);
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let versions: Vec<i64> =
        history(&shops[1], id).await.iter().map(|change| change["version"].as_i64().unwrap()).collect();
    assert_eq!(versions, (1..=201).rev().collect::<Vec<_>>());
    assert_eq!(rows(&db).await, [(month(&db, 0).await, 201)]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_two_instances_one_makes_each_month(db: PgPool) {
    let at = now(&db).await;
    let (one, other) = join(round(&db, at), round(&db, at)).await;
    let mut made = [names(&one.made), names(&other.made)].concat();
    // Whoever came too late has left the rest to the other, or to its next round.
    made.extend(names(&round(&db, at).await.made));
    made.sort();
    assert_eq!(made, [month(&db, 0).await, month(&db, 1).await, month(&db, 2).await]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_reader_that_holds_the_history_keeps_no_write_waiting_for_long_and_no_key_from_being_forgotten(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    add_keys(&db, now(&db).await - Duration::from_hours(25), 10).await;
    let mut backup = db.begin().await.unwrap();
    sqlx::query("lock table product_history in access share mode").execute(&mut *backup).await.unwrap();

    let mut connection = db.acquire().await.unwrap();
    let at = now(&db).await;
    let (kept_up, answer) = join(keep_up(&mut connection, at, MONTHS_KEPT), shop.patch(id, r#"{"stock":1}"#)).await;
    let error = kept_up.unwrap_err().into_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("55P03"), "lock not available");
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(count_keys(&db).await, 0);
    assert_eq!(partitions(&db).await, ["product_history_rest"]);

    backup.commit().await.unwrap();
    assert_eq!(keep_up(&mut connection, at, MONTHS_KEPT).await.unwrap().made.len(), 3);
    assert_eq!(history(&shop, id).await.len(), 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn more_rows_than_can_be_moved_in_a_moment_stay_and_are_found(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    sqlx::query(
        "insert into product_history (product_id, version, changed_at, actor)
         select 1000000, version, now(), 'many' from generate_series(1, 50000) as version",
    )
    .execute(&db)
    .await
    .unwrap();
    let done = round(&db, now(&db).await).await;
    assert_eq!(names(&done.made), [month(&db, 1).await, month(&db, 2).await]);
    assert_eq!(rows(&db).await, [("product_history_rest".to_owned(), 50_001)]);
    assert_eq!(history(&shop, id).await.len(), 1);
    assert_eq!(shop.patch(id, r#"{"stock":1}"#).await.status, StatusCode::OK);
}

async fn add_keys(db: &PgPool, created_at: OffsetDateTime, count: i64) {
    sqlx::query(
        "insert into idempotency (actor, key, line, request, status, body, created_at)
         select 'somebody', $1::text || number, 0, '', 200, '', $1 from generate_series(1, $2) as number",
    )
    .bind(created_at)
    .bind(count)
    .execute(db)
    .await
    .unwrap();
}

async fn count_keys(db: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from idempotency").fetch_one(db).await.unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn keys_are_forgotten_a_day_after_their_request_and_not_before(db: PgPool) {
    let now = now(&db).await;
    add_keys(&db, now - Duration::from_hours(24) - Duration::from_secs(1), 12_000).await;
    add_keys(&db, now - Duration::from_hours(24) + Duration::from_secs(1), 3).await;
    // All of them, though one transaction deletes fewer.
    assert_eq!(round(&db, now).await.keys_forgotten, 12_000);
    assert_eq!(count_keys(&db).await, 3);
    assert_eq!(round(&db, now + Duration::from_secs(2)).await.keys_forgotten, 3);
}
