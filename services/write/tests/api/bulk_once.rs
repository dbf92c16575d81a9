//! Bulks with an idempotency key: each line is done once, however often it comes.

use std::io::Error;

use axum::body::Body;
use axum::http::Method;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::bulk::{lamps, statuses};
use crate::shop::{Answer, Shop, results};

fn line(at: usize) -> String {
    format!("{{\"sku\":\"LAMP-{at}\",\"stock_delta\":-1}}\n")
}

impl Shop {
    async fn import_once(&self, key: &str, lines: impl Into<Body>) -> Vec<Value> {
        let answer = Answer::read(self.stream(Method::POST, "/products", key, lines).await).await;
        results(&answer.body)
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_bulk_whose_client_is_killed_is_sent_again_and_applies_nothing_twice(db: PgPool) {
    let shop = Shop::new(db.clone());
    let ids = lamps(&shop, 1_000).await;
    let whole: String = (0..1_000).map(line).collect();
    for batches in [1, 2, 4] {
        let rest = stream::iter((0..1_000).map(|at| Ok::<_, Error>(line(at))));
        let answer = shop.stream(Method::PATCH, "/products", "restock", Body::from_stream(rest)).await;
        let mut answer = answer.into_body().into_data_stream();
        for _ in 0..batches {
            answer.next().await.unwrap().unwrap();
        }
        // In the midst of the next batch, or before it: the connection is gone.
        futures_util::future::select(answer.next(), Box::pin(tokio::task::yield_now())).await;
        drop(answer);
    }
    let first = shop.patch_all("restock", whole.clone()).await;
    let again = shop.patch_all("\"restock\"", whole).await;

    assert_eq!(statuses(&first), vec![200; 1_000]);
    assert_eq!(first[..1_000], again[..1_000]);
    assert_ne!(first[1_000]["bulk_id"], again[1_000]["bulk_id"]);
    let stocks: Vec<i32> = sqlx::query_scalar("select distinct stock from products").fetch_all(&db).await.unwrap();
    assert_eq!((stocks, shop.events().await.len()), (vec![9], 2_000));

    // What has changed since does not change the first answers.
    shop.delete(ids[0]).await;
    shop.patch(ids[1], r#"{"stock":0}"#).await;
    let again = shop.patch_all("restock", line(0) + &line(1)).await;
    assert_eq!(first[..2], again[..2]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_bulk_that_broke_off_goes_on_where_it_had_come_to(db: PgPool) {
    let shop = Shop::new(db.clone());
    lamps(&shop, 3).await;
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    let body = Body::from_stream(UnboundedReceiverStream::new(lines).map(|line| line));
    let mut answer = shop.stream(Method::PATCH, "/products", "k", body).await.into_body().into_data_stream();
    sender.send(Ok(line(0) + &line(1))).unwrap();
    answer.next().await.unwrap().unwrap();
    sender.send(Ok(line(2)[..10].to_owned())).unwrap();
    sender.send(Err(Error::other("broken"))).unwrap();
    assert!(answer.next().await.unwrap().is_err());

    let results = shop.patch_all("k", line(0) + &line(1) + &line(2)).await;
    assert_eq!(statuses(&results), [200, 200, 200]);
    let stocks: Vec<i32> = sqlx::query_scalar("select stock from products").fetch_all(&db).await.unwrap();
    assert_eq!((stocks, shop.events().await.len()), (vec![9, 9, 9], 6));
}

#[sqlx::test(migrations = "../../migrations")]
async fn refusals_are_repeated_another_text_is_refused_and_what_could_not_be_read_may_be_mended(db: PgPool) {
    let shop = Shop::new(db);
    lamps(&shop, 2).await;
    let lines = "{\"sku\":\"LAMP-0\",\"stock_delta\":-11}\n{\"sku\":\"NEW\",\"stock\":1}\n{\"sku\":\"LAMP-1\",\"if_match\":9}\nnonsense\n";
    let first = shop.patch_all("k", lines).await;
    assert_eq!(statuses(&first), [409, 404, 412, 400]);
    shop.patch_all("", "{\"sku\":\"LAMP-0\",\"stock\":100}\n").await;
    shop.import_all("{\"sku\":\"NEW\",\"name\":\"New\",\"price\":\"1\"}\n").await;

    let again = shop.patch_all("k", lines.replace("nonsense", "{\"sku\":\"LAMP-1\",\"stock\":3}")).await;
    assert_eq!(first[..3], again[..3]);
    assert_eq!(again[3]["status"], 200);
    let other = shop.patch_all("k", lines.replace("-11", "-12").replace("nonsense", "")).await;
    assert_eq!(statuses(&other), [422, 404, 412]);
    assert_eq!(other[0]["problem"]["type"], "/problems/key-reused");
    // The same texts elsewhere in the file are other lines, and line 0 is a single patch's.
    let shifted = shop.patch_all("k", format!("\n\n\n\n{lines}")).await;
    assert_eq!(statuses(&shifted), [200, 200, 412, 400]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_same_bulk_sent_twice_at_a_time_is_done_once(db: PgPool) {
    let shops = Shop::two(&db).await;
    lamps(&shops[0], 500).await;
    let whole: String = (0..500).chain(0..500).map(line).collect();
    let (first, second) = tokio::join!(shops[0].patch_all("k", whole.clone()), shops[1].patch_all("k", whole.clone()));

    assert_eq!(statuses(&first), vec![200; 1_000]);
    assert_eq!(first[..1_000], second[..1_000]);
    let stocks: Vec<i32> = sqlx::query_scalar("select distinct stock from products").fetch_all(&db).await.unwrap();
    assert_eq!((stocks, shops[0].events().await.len()), (vec![8], 1_500));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_line_that_another_request_with_the_key_is_doing_waits_for_its_answer(db: PgPool) {
    let shop = Shop::new(db.clone());
    let ids = lamps(&shop, 2).await;
    // Another request has claimed the second line, and rolls back.
    let mut other = db.begin().await.unwrap();
    sqlx::query(
        "insert into idempotency (actor, key, line, request, status, body, created_at)
         select name || ' (' || id || ')', 'k', 2, '', 200, '', now()
         from api_keys",
    )
    .execute(&mut *other)
    .await
    .unwrap();
    let bulk = shop.patch_all("k", line(0) + &line(1));
    let release = async {
        let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())";
        testkit::holds(async || sqlx::query_scalar(waits).fetch_one(&db).await.unwrap()).await;
        other.rollback().await.unwrap();
    };
    let (results, ()) = tokio::join!(bulk, release);
    assert_eq!(statuses(&results), [200, 200]);
    assert_eq!(shop.stored(ids[1]).await.unwrap().stock.get(), 9);
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_import_with_a_key_creates_and_changes_each_line_once(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let new = |sku: &str, stock: usize| {
        format!("{{\"sku\":\"{sku}\",\"name\":\"Lamp\",\"price\":\"1\",\"stock\":{stock}}}\n")
    };
    let lines = new("LAMP-1", 9) + &new("A", 1) + &new("A", 2) + "nonsense\n" + &new("A", 2);
    let first = shop.import_once("k", lines.clone()).await;
    assert_eq!(statuses(&first), [200, 201, 200, 400, 200]);
    shop.patch(id, r#"{"stock":5}"#).await;
    let events = shop.events().await.len();

    let again = shop.import_once("k", lines.clone()).await;
    assert_eq!((&first[..3], &first[4], statuses(&again)[3]), (&again[..3], &again[4], 400));
    assert_eq!((shop.stored(id).await.unwrap().stock.get(), shop.events().await.len()), (5, events));
    let other = shop.import_once("k", new("LAMP-1", 8)).await;
    assert_eq!((&other[0]["status"], &other[0]["problem"]["type"]), (&json!(422), &json!("/problems/key-reused")));
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_same_import_sent_twice_at_a_time_creates_everything_once(db: PgPool) {
    let shops = Shop::two(&db).await;
    let new = |at: usize| format!("{{\"sku\":\"S-{at}\",\"name\":\"Lamp\",\"price\":\"1\"}}\n");
    let whole: String = (0..1_200).map(new).collect();
    let (first, second) =
        tokio::join!(shops[0].import_once("k", whole.clone()), shops[1].import_once("k", whole.clone()));
    assert_eq!(statuses(&first), vec![201; 1_200]);
    assert_eq!(first[..1_200], second[..1_200]);
    assert_eq!((shops[0].count_products().await, shops[0].events().await.len()), (1_200, 1_200));
}
