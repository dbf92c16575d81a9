//! The `Consistency-Token` that every write answers.

use axum::http::StatusCode;
use catalog::{ProductId, Version};
use events::{Epoch, Position};
use freshet_write::database;
use freshness::Token;
use sqlx::PgPool;

use crate::shop::Shop;

/// The insert position now.
async fn position(db: &PgPool) -> Position {
    let position: i64 =
        sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(db).await.unwrap();
    Position(position.try_into().unwrap())
}

/// From now on each transaction that writes an event notes the insert position as the last thing before it commits, so
/// that a token that was made within a transaction is not past the position noted by it.
async fn note_commits(db: &PgPool) {
    for statement in [
        "create table commits (lsn bigint)",
        "create function note() returns trigger language plpgsql as $$
         begin
             insert into commits values (pg_current_wal_insert_lsn() - '0/0');
             return null;
         end $$",
        "create constraint trigger note after insert on outbox deferrable initially deferred
         for each row execute function note()",
    ] {
        sqlx::query(statement).execute(db).await.unwrap();
    }
}

async fn noted(db: &PgPool) -> Vec<Position> {
    let noted: Vec<i64> = sqlx::query_scalar("select lsn from commits order by lsn").fetch_all(db).await.unwrap();
    noted.into_iter().map(|lsn| Position(lsn.try_into().unwrap())).collect()
}

fn product(id: i64, version: i64) -> (ProductId, Version) {
    (id.try_into().unwrap(), version.try_into().unwrap())
}

/// As the relay leaves the row when it has made this epoch on a server that was started that much before this one.
async fn make_epoch(db: &PgPool, number: i64, before: &str) {
    let affected = sqlx::query(
        "update epoch
         set number = $1,
             server_started_at = greatest(
                 pg_postmaster_start_time(),
                 (select backend_start from pg_stat_activity where backend_type = 'checkpointer')
             ) - $2::interval",
    )
    .bind(number)
    .bind(before)
    .execute(db)
    .await
    .unwrap()
    .rows_affected();
    assert_eq!(affected, 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_write_of_one_product_names_it_and_a_position_past_its_commit(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 2));
    note_commits(&db).await;
    let before = position(&db).await;
    let created = shop.post(r#"{"sku":"LAMP-1","name":"Lamp","price":"1"}"#).await;
    let id = created.json()["id"].as_i64().unwrap();
    let patched = shop.patch(id, r#"{"stock":9}"#).await;
    let unchanged = shop.patch(id, r#"{"stock":9}"#).await;
    let deleted = shop.delete(id).await;
    let after = position(&db).await;

    let tokens = [created, patched, unchanged, deleted].map(|answer| answer.token());
    assert_eq!(tokens.map(|token| token.product), [1, 2, 2, 3].map(|version| Some(product(id, version))));
    let [created, patched, unchanged, deleted] = tokens.map(|token| token.position);
    let commits = noted(&db).await;
    assert!(commits[0] < created && commits[1] < patched && commits[2] < deleted, "{commits:?} {tokens:?}");
    let in_order = [before, created, patched, unchanged, deleted, after];
    assert!(in_order.is_sorted(), "{in_order:?}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_import_ends_with_one_token_past_the_commit_of_its_last_batch(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 2));
    note_commits(&db).await;
    make_epoch(&db, 7, "0").await;
    let line = |at| format!("{{\"sku\":\"S-{at}\",\"name\":\"Lamp\",\"price\":\"1\"}}\n");
    let lines: String = (0..1_200).map(line).collect();
    let (results, token) = shop.import_for_token(lines).await;
    let after = position(&db).await;

    assert_eq!((results.len(), token.epoch, token.product), (1_200, Epoch(7), None));
    let last = *noted(&db).await.last().unwrap();
    assert!(last < token.position && token.position <= after, "{last:?} {token:?} {after:?}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_epoch_is_named_only_while_it_was_made_on_this_server(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 2));
    let id = shop.lamp().await;
    let epoch = async |stock: i64| shop.patch(id, &format!(r#"{{"stock":{stock}}}"#)).await.token().epoch;
    assert_eq!(epoch(10).await, Epoch(0));
    make_epoch(&db, 1_700_000_000_000, "1 microsecond").await;
    assert_eq!(epoch(11).await, Epoch(0));
    make_epoch(&db, 1_700_000_000_000, "0").await;
    assert_eq!(epoch(12).await, Epoch(1_700_000_000_000));
    make_epoch(&db, 1_700_000_000_001, "-1 microsecond").await;
    assert_eq!(epoch(13).await, Epoch(0));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_session_that_has_not_noted_the_start_of_its_server_names_no_epoch(db: PgPool) {
    make_epoch(&db, 7, "0").await;
    let token = Shop::new(db).post(r#"{"sku":"LAMP-1","name":"Lamp","price":"1"}"#).await.token();
    assert_eq!(token.epoch, Epoch(0));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_write_whose_token_cannot_be_made_is_stored_and_asks_for_the_primary(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 2));
    let id = shop.lamp().await;
    sqlx::query("alter table epoch rename to lost").execute(&db).await.unwrap();
    let answer = shop.patch(id, r#"{"stock":9}"#).await;

    assert_eq!((answer.status, shop.stored(id).await.unwrap().stock.get()), (StatusCode::OK, 9));
    assert_eq!(answer.token(), Token { epoch: Epoch(0), position: Position(0), product: Some(product(id, 2)) });
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_refused_write_has_no_token(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    for refused in [shop.post("{}").await, shop.patch(id, r#"{"stock":-1}"#).await, shop.delete(id + 1).await] {
        assert!(refused.status.is_client_error());
        assert_eq!(refused.header("consistency-token"), "");
    }
}
