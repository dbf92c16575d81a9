//! `POST /products` with a stream of lines.

use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use events::Position;
use futures_util::stream::{self, Stream};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::shop::{Shop, results, token};

fn line(sku: &str, stock: usize) -> String {
    format!("{{\"sku\":\"{sku}\",\"name\":\"Lamp {sku}\",\"price\":\"19.99\",\"stock\":{stock}}}\n")
}

fn numbers(results: &[Value], name: &str) -> Vec<i64> {
    results.iter().map(|result| result[name].as_i64().unwrap()).collect()
}

/// One chunk a line.
fn chunks(lines: impl Iterator<Item = String> + Send + 'static) -> Body {
    Body::from_stream(stream::iter(lines.map(Ok::<_, Error>)))
}

#[sqlx::test(migrations = "../../migrations")]
async fn ten_thousand_lines_are_answered_in_order_with_the_refused_ones_between(db: PgPool) {
    let shop = Shop::new(db);
    let lines = (1..=10_000).map(|at| match at % 10 {
        0 => format!("{{\"sku\":\"S-{at}\",\"name\":\"x\",\"price\":\"1\",\"stock\":-1}}\n"),
        5 => "not json\n".to_owned(),
        _ => line(&format!("S-{at}"), at),
    });
    let results = shop.import_all(chunks(lines)).await;

    assert_eq!(numbers(&results, "line"), (1..=10_000).collect::<Vec<_>>());
    for (at, result) in (1..).zip(&results) {
        match at % 10 {
            0 => assert_eq!(
                (&result["status"], &result["problem"]["errors"][0]["pointer"]),
                (&json!(422), &json!("#/stock"))
            ),
            5 => assert_eq!((&result["status"], &result["problem"]["status"]), (&json!(400), &json!(400))),
            _ => {
                let id = &result["id"];
                let expected = json!({"line": at, "status": 201, "id": id, "sku": format!("S-{at}"), "version": 1});
                assert_eq!(*result, expected);
            }
        }
    }
    assert_eq!((shop.count_products().await, shop.events().await.len()), (8_000, 8_000));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_line_changes_the_product_that_has_its_sku_and_an_equal_line_changes_nothing(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let first = shop.import_all(line("LAMP-1", 9) + &line("LAMP-2", 1)).await;
    assert_eq!((numbers(&first, "status"), numbers(&first, "version")), (vec![200, 201], vec![2, 1]));
    // What the line does not name is cleared: the line is the whole product.
    let stored = shop.stored(id).await.unwrap();
    assert_eq!((first[0]["id"].as_i64(), stored.brand, stored.stock.get()), (Some(id), None, 9));

    let second = shop.import_all(line("LAMP-1", 9) + &line("LAMP-2", 2)).await;
    assert_eq!((numbers(&second, "status"), numbers(&second, "version")), (vec![200, 200], vec![2, 2]));
    let kinds: Vec<String> = shop.events().await.into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, ["created", "updated", "created", "updated"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_repeated_sku_ends_as_its_last_line_with_a_version_for_each(db: PgPool) {
    let shop = Shop::new(db);
    let lines = [("A", 1), ("B", 1), ("A", 2), ("A", 2), ("C", 1), ("A", 3)];
    let results = shop.import_all(lines.map(|(sku, stock)| line(sku, stock)).concat()).await;

    assert_eq!(numbers(&results, "version"), [1, 1, 2, 2, 1, 3]);
    assert_eq!(numbers(&results, "status"), [201, 201, 200, 200, 201, 200]);
    let id = results[0]["id"].as_i64().unwrap();
    assert_eq!(shop.stored(id).await.unwrap().stock.get(), 3);
    assert_eq!(shop.events().await.len(), 5);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_line_that_is_too_long_is_refused_and_the_next_ones_are_stored(db: PgPool) {
    let shop = Shop::new(db);
    let long = format!("{{\"sku\":\"LONG\",\"name\":\"{}\"}}\n", "x".repeat(200_000));
    let results = shop.import_all(line("A", 1) + &long + "\n" + line("B", 1).trim_end()).await;

    assert_eq!((numbers(&results, "line"), numbers(&results, "status")), (vec![1, 2, 4], vec![201, 413, 201]));
    assert_eq!(results[1]["problem"]["detail"], "a line may have at most 65536 bytes");
    assert_ne!(results[1]["problem"]["request_id"], "");
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_line_that_the_database_refuses_fails_alone(db: PgPool) {
    let shop = Shop::new(db.clone());
    sqlx::query("alter table products add check (name <> 'Lamp S-77')").execute(&db).await.unwrap();
    let results = shop.import_all((0..200).map(|at| line(&format!("S-{at}"), 1)).collect::<String>()).await;

    let refused: Vec<&Value> = results.iter().filter(|result| result["status"] != 201).collect();
    assert_eq!((refused.len(), &refused[0]["line"], &refused[0]["status"]), (1, &json!(78), &json!(500)));
    assert_eq!((shop.count_products().await, shop.events().await.len()), (199, 199));
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_line_is_answered_before_a_slow_producer_sends_the_next(db: PgPool) {
    let shop = Shop::new(db);
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    let body = Body::from_stream(UnboundedReceiverStream::new(lines).map(Ok::<_, Error>));
    let mut answer = shop.import(body).await.into_body().into_data_stream();
    for at in 1..=3 {
        sender.send(line(&format!("S-{at}"), at)).unwrap();
        let result = results(&answer.next().await.unwrap().unwrap());
        assert_eq!(numbers(&result, "line"), [i64::try_from(at).unwrap()]);
    }
    drop(sender);
    token(&results(&answer.next().await.unwrap().unwrap())[0]);
    assert!(answer.next().await.is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_client_that_does_not_read_is_not_read_and_one_that_leaves_ends_the_work(db: PgPool) {
    let shop = Shop::new(db);
    let taken = Arc::new(AtomicUsize::new(0));
    let mut answer = shop.import(Body::from_stream(endless(taken.clone()))).await.into_body().into_data_stream();
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    let first = results(&answer.next().await.unwrap().unwrap());
    let second = results(&answer.next().await.unwrap().unwrap());
    assert_eq!(taken.load(Ordering::Relaxed), first.len() + second.len());
    assert!(first.len() <= 500 && second.len() <= 500);

    drop(answer);
    // Only the stream held the other clone: the work has ended.
    assert_eq!(Arc::strong_count(&taken), 1);
    assert_eq!(shop.count_products().await, i64::try_from(first.len() + second.len()).unwrap());
}

/// Lines without end, counted as they are taken.
fn endless(taken: Arc<AtomicUsize>) -> impl Stream<Item = Result<String, Error>> {
    stream::iter(0..).map(move |at| {
        taken.fetch_add(1, Ordering::Relaxed);
        Ok(line(&format!("S-{at}"), 1))
    })
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_client_that_breaks_off_in_a_line_has_not_sent_that_line(db: PgPool) {
    let shop = Shop::new(db);
    let whole = line("B", 1);
    let sent = vec![
        Ok(Bytes::from(line("A", 1))),
        Ok(Bytes::from(whole.trim_end().to_owned())),
        Err(Error::from(ErrorKind::UnexpectedEof)),
    ];
    let mut answer = shop.import(Body::from_stream(stream::iter(sent))).await.into_body().into_data_stream();
    assert_eq!(numbers(&results(&answer.next().await.unwrap().unwrap()), "line"), [1]);
    assert!(answer.try_next().await.is_err());
    assert_eq!(shop.count_products().await, 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn when_the_database_goes_away_its_lines_say_so_and_the_answer_ends(db: PgPool) {
    let shop = Shop::new(db.clone());
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    let body = Body::from_stream(UnboundedReceiverStream::new(lines).map(Ok::<_, Error>));
    let mut answer = shop.import(body).await.into_body().into_data_stream();
    sender.send(line("A", 1)).unwrap();
    assert_eq!(numbers(&results(&answer.next().await.unwrap().unwrap()), "status"), [201]);

    db.close().await;
    sender.send(line("B", 1) + "no json\n" + &line("C", 1)).unwrap();
    let failed = results(&answer.next().await.unwrap().unwrap());
    assert_eq!((numbers(&failed, "line"), numbers(&failed, "status")), (vec![2, 3, 4], vec![503, 400, 503]));
    // What was stored before is promised all the same.
    let last = token(&results(&answer.next().now_or_never().unwrap().unwrap().unwrap())[0]);
    assert!(last.position > Position(0) && last.product.is_none());
    assert!(answer.next().now_or_never().unwrap().is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn two_imports_of_the_same_new_skus_create_each_once(db: PgPool) {
    let shop = Shop::new(db);
    let forwards: String = (0..900).map(|at| line(&format!("S-{at}"), 1)).collect();
    let backwards: String = (0..900).rev().map(|at| line(&format!("S-{at}"), 2)).collect();
    let (first, second) = tokio::join!(shop.import_all(forwards), shop.import_all(backwards));

    let statuses = [numbers(&first, "status"), numbers(&second, "status")].concat();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 900);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 900);
    assert_eq!((shop.count_products().await, shop.events().await.len()), (900, 1_800));
}
