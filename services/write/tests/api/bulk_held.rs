//! Bulk patches beside others who want the same products.

use std::io::Error;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Method, StatusCode};
use freshet_write::database;
use futures_util::future::{join, join_all};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use sqlx::PgPool;
use testkit::holds;

use crate::bulk::{lamps, statuses};
use crate::shop::{Shop, results};

fn lines(ats: impl Iterator<Item = usize>) -> String {
    let line = |at| format!("{{\"sku\":\"LAMP-{at}\",\"stock_delta\":1}}\n");
    ats.map(line).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_product_that_is_held_for_long_fails_its_own_lines_and_no_neighbours(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 8));
    let ids = lamps(&shop, 300).await;
    let mut holder = db.begin().await.unwrap();
    sqlx::query("select from products where id = any($1) for update")
        .bind([ids[10], ids[20], ids[250]])
        .execute(&mut *holder)
        .await
        .unwrap();
    let mut held = shop.patch_all("", lines((0..300).chain([10, 11]))).await;
    held.pop();

    for (at, result) in held.iter().enumerate() {
        let is_held = [10, 20, 250, 300].contains(&at);
        assert_eq!(result["status"], if is_held { 503 } else { 200 }, "{result}");
    }
    assert_eq!(held[10]["problem"]["detail"], "another transaction holds the product; it was not changed");
    holder.rollback().await.unwrap();
    assert_eq!(statuses(&shop.patch_all("", lines([10, 20].into_iter())).await), [200, 200]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_product_that_is_held_for_a_moment_is_waited_for_and_its_lines_keep_their_order(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 8));
    let ids = lamps(&shop, 3).await;
    let mut holder = db.begin().await.unwrap();
    sqlx::query("select from products where id = $1 for update").bind(ids[1]).execute(&mut *holder).await.unwrap();
    let bulk = shop.patch_all("", lines([0, 1, 2, 1, 1].into_iter()));
    let release = async {
        let waits = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database())";
        holds(async || sqlx::query_scalar(waits).fetch_one(&db).await.unwrap()).await;
        assert_eq!(shop.stored(ids[0]).await.unwrap().version.get(), 2, "its neighbours are stored by then");
        holder.commit().await.unwrap();
    };
    let (done, ()) = join(bulk, release).await;
    let versions: Vec<_> = done.iter().filter_map(|result| result["version"].as_i64()).collect();
    assert_eq!(versions, [2, 2, 2, 3, 4]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn two_bulks_in_opposite_orders_and_single_patches_lose_nothing_and_fail_nothing(db: PgPool) {
    let shops = [0, 1].map(|_| Shop::new(database::pool(&db.connect_options(), 8)));
    let ids = lamps(&shops[0], 500).await;
    let singles = async {
        let mut done = 0;
        for round in 0..100 {
            let four = [0, 1, 2, 3].map(|at| shops[at % 2].patch(ids[(round * 5 + at) % 500], r#"{"stock_delta":1}"#));
            done += join_all(four).await.iter().filter(|answer| answer.status == StatusCode::OK).count();
        }
        done
    };
    let forwards = shops[0].patch_all("", lines((0..500).chain(0..500)));
    let backwards = shops[1].patch_all("", lines((0..500).rev().chain((0..500).rev())));
    let (forwards, backwards, singles) = tokio::join!(forwards, backwards, singles);

    for bulk in [forwards, backwards] {
        let failed: Vec<Value> = bulk.into_iter().filter(|result| result["problem"].is_object()).collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
    assert_eq!(singles, 400);
    let (stock, versions): (i64, i64) =
        sqlx::query_as("select sum(stock), sum(version)::bigint from products").fetch_one(&db).await.unwrap();
    assert_eq!((stock, versions), (500 * 10 + 2_000 + 400, 500 + 2_000 + 400));
    assert_eq!(shops[0].events().await.len(), 500 + 2_000 + 400);
}

#[sqlx::test(migrations = "../../migrations")]
async fn single_patches_are_fast_while_a_bulk_runs_also_of_the_same_products(db: PgPool) {
    let shop = Shop::new(database::pool(&db.connect_options(), 8));
    let ids = lamps(&shop, 400).await;
    let endless = stream::iter((0..400).cycle()).map(|at| Ok::<_, Error>(lines([at].into_iter())));
    let answer = shop.stream(Method::PATCH, "/products", "", Body::from_stream(endless)).await;
    let mut answer = answer.into_body().into_data_stream();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let bulk = async {
        let mut lines = 0;
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            let done = results(&answer.next().await.unwrap().unwrap());
            assert!(done.iter().all(|result| result["status"] == 200));
            lines += done.len();
        }
        lines
    };
    let singles = async {
        let mut took = Vec::new();
        for at in 0..100 {
            let begun = Instant::now();
            assert_eq!(shop.patch(ids[at * 4], r#"{"stock_delta":1}"#).await.status, StatusCode::OK);
            took.push(begun.elapsed());
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        took.sort_unstable();
        took
    };
    let (lines, took) = join(bulk, singles).await;
    assert!(lines > 400, "{lines}");
    // A batch of the bulk takes tens of milliseconds on a busy machine; to wait for the whole of it would take for ever.
    assert!(took[50] < Duration::from_millis(250), "{took:?}");
}
