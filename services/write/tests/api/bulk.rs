//! `PATCH /products` with a stream of lines.

use std::io::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower::ServiceExt;

use crate::shop::{Answer, JSON, NDJSON, Shop, results, token};

/// Lamps with the skus `LAMP-0`, `LAMP-1` and so on, and 10 units each.
pub(crate) async fn lamps(shop: &Shop, count: usize) -> Vec<i64> {
    let lamp = |number| format!("{{\"sku\":\"LAMP-{number}\",\"name\":\"Lamp\",\"price\":\"19.99\",\"stock\":10}}\n");
    let created = shop.import_all((0..count).map(lamp).collect::<String>()).await;
    created.iter().map(|result| result["id"].as_i64().unwrap()).collect()
}

/// Of the history: version, actor, reason, and price, currency and stock before and after.
type Row = (i64, String, Option<String>, i64, String, i32, i64, String, i32);

pub(crate) fn statuses(results: &[Value]) -> Vec<i64> {
    results.iter().filter_map(|result| result["status"].as_i64()).collect()
}

#[sqlx::test(migrations = "../../migrations")]
async fn lines_by_id_and_by_sku_are_answered_in_order_with_the_refused_ones_between(db: PgPool) {
    let shop = Shop::new(db);
    let ids = lamps(&shop, 1_000).await;
    let lines: String = (0..1_000)
        .map(|at| match at % 10 {
            0 => format!("{{\"id\":{},\"price\":\"17.99\"}}\n", ids[at]),
            1 => "not json\n".to_owned(),
            2 => format!("{{\"sku\":\"LAMP-{at}\",\"id\":{},\"stock\":1}}\n", ids[at]),
            3 => format!("{{\"sku\":\"NONE-{at}\",\"stock\":1}}\n"),
            4 => format!("{{\"id\":{},\"currency\":\"JPY\"}}\n", ids[at]),
            5 => format!("{{\"id\":{},\"stock\":1}}\n", i64::MAX - 1),
            6 => "\n".to_owned(),
            _ => format!("{{\"sku\":\"LAMP-{at}\",\"stock_delta\":-1,\"reason\":\"sold\"}}\n"),
        })
        .collect();
    let mut results = shop.patch_all("", lines).await;

    assert!(token(&results.pop().unwrap()).product.is_none());
    let numbers: Vec<usize> = (0..1_000).filter(|at| at % 10 != 6).collect();
    assert_eq!(results.len(), numbers.len());
    for (at, result) in numbers.into_iter().zip(results) {
        let (line, id) = (at + 1, ids[at]);
        let status = [200, 400, 422, 404, 422, 404, 0, 200, 200, 200][at % 10];
        assert_eq!((&result["line"], &result["status"]), (&json!(line), &json!(status)));
        if status == 200 {
            let expected = json!({"line": line, "status": 200, "id": id, "sku": format!("LAMP-{at}"), "version": 2});
            assert_eq!(result, expected);
        } else {
            assert_eq!(result["problem"]["status"], status);
            assert!(!result["problem"]["request_id"].as_str().unwrap().is_empty());
        }
    }
    let stocks = [7, 8, 9].map(|at| shop.stored(ids[at]));
    assert!(join_all(stocks).await.iter().all(|product| product.as_ref().unwrap().stock.get() == 9));
    assert_eq!(shop.events().await.len(), 1_000 + 400);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_bulk_leaves_the_same_events_and_history_as_single_patches(db: PgPool) {
    let shop = Shop::new(db.clone());
    let ids = lamps(&shop, 2).await;
    let patches = [
        r#""price":"17.99","currency":"EUR","reason":"sale""#,
        r#""name":"Desk lamp","brand":"Lumo","image_url":null"#,
        r#""stock_delta":-3"#,
        r#""stock":7"#,
    ];
    for patch in patches {
        shop.patch(ids[0], &format!("{{{patch}}}")).await;
    }
    let line = |patch| format!("{{\"sku\":\"LAMP-1\",{patch}}}\n");
    // One batch for each, so that each version has words of its own.
    let mut bulk_ids = Vec::new();
    for patch in patches {
        let results = shop.patch_all("", line(patch)).await;
        bulk_ids.push(results[1]["bulk_id"].as_str().unwrap().parse::<uuid::Uuid>().unwrap());
    }

    let events = shop.events().await;
    let of = |id: i64| {
        let events = events.iter().filter(move |event| event.change.id.get() == id && event.kind == "updated");
        events.map(move |event| {
            let mut data: Value = serde_json::from_str(&event.data).unwrap();
            data["after"]["updated_at"].take();
            data["after"]["created_at"].take();
            // The sku is one of the words.
            let alike = [(&*format!("\"id\":{id}"), "\"id\":0"), ("LAMP-1", "LAMP-0"), ("\"1 ", "\"0 ")];
            alike.iter().fold(data.to_string(), |data, (from, to)| data.replace(from, to))
        })
    };
    assert_eq!(of(ids[0]).collect::<Vec<_>>(), of(ids[1]).collect::<Vec<_>>());
    assert_eq!(of(ids[0]).count(), 3);

    let history = async |id: i64| -> Vec<Row> {
        let sql =
            "select version, actor, reason, price_from, currency_from, stock_from, price_to, currency_to, stock_to
                   from product_history where product_id = $1 and version > 1 order by version";
        sqlx::query_as(sql).bind(id).fetch_all(&db).await.unwrap()
    };
    let (single, bulk) = (history(ids[0]).await, history(ids[1]).await);
    assert_eq!(single, bulk);
    assert_eq!(single.iter().map(|row| (row.0, row.2.as_deref())).collect::<Vec<_>>(), [(2, Some("sale")), (4, None)]);
    let named: Vec<uuid::Uuid> = sqlx::query_scalar(
        "select bulk_id from product_history where product_id = $1 and version > 1 order by version",
    )
    .bind(ids[1])
    .fetch_all(&db)
    .await
    .unwrap();
    assert_eq!(named, [bulk_ids[0], bulk_ids[2]]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn lines_of_one_product_are_done_in_their_order_each_under_its_own_precondition(db: PgPool) {
    let shop = Shop::new(db);
    let ids = lamps(&shop, 2).await;
    let lines = [
        r#"{"sku":"LAMP-0","stock_delta":-4,"if_match":1}"#,
        r#"{"sku":"LAMP-1","stock":1}"#,
        r#"{"sku":"LAMP-0","stock_delta":-7}"#,
        r#"{"sku":"LAMP-0","stock_delta":-6,"if_match":[1,2]}"#,
        r#"{"sku":"LAMP-0","price":"1.00","if_match":2}"#,
        r#"{"sku":"LAMP-0","stock":0,"if_match":"*"}"#,
        r#"{"sku":"LAMP-0","stock":1,"if_match":"3"}"#,
    ];
    let results = shop.patch_all("", lines.join("\n")).await;

    assert_eq!(statuses(&results), [200, 200, 409, 200, 412, 200, 422]);
    let versions: Vec<_> = results.iter().filter_map(|result| result["version"].as_i64()).collect();
    assert_eq!(versions, [2, 2, 3, 3]);
    assert_eq!(results[2]["problem"]["type"], "/problems/stock-below-zero");
    assert_eq!(
        (&results[4]["problem"]["type"], &results[4]["problem"]["current"]["version"]),
        (&json!("/problems/stale-version"), &json!(3))
    );
    assert_eq!(results[6]["problem"]["errors"][0]["pointer"], "#/if_match");
    assert_eq!(shop.stored(ids[0]).await.unwrap().stock.get(), 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_dry_run_answers_what_would_be_and_writes_nothing(db: PgPool) {
    let shop = Shop::new(db.clone());
    let ids = lamps(&shop, 2).await;
    let before = [shop.stored(ids[0]).await, shop.stored(ids[1]).await];
    let lines = "{\"sku\":\"LAMP-0\",\"stock_delta\":-10}\n{\"sku\":\"LAMP-0\",\"stock_delta\":-1}\n\
                 {\"sku\":\"LAMP-1\",\"price\":\"1.00\"}\n{\"sku\":\"LAMP-1\",\"price\":\"one\"}\n{\"sku\":\"X\"}\n";
    let dry = Answer::read(shop.stream(Method::PATCH, "/products?dry_run=true", "key", lines).await).await;
    let mut dry = results(&dry.body);

    assert_eq!(statuses(&dry), [200, 409, 200, 422, 404]);
    assert_eq!((&dry[0]["version"], &dry[2]["version"]), (&json!(2), &json!(2)));
    let last = dry.pop().unwrap();
    assert_eq!((&last["dry_run"], last.get("bulk_id")), (&json!(true), None));
    assert!(last["consistency_token"].is_string());
    assert_eq!([shop.stored(ids[0]).await, shop.stored(ids[1]).await], before);
    let kept: i64 = sqlx::query_scalar("select count(*) from idempotency").fetch_one(&db).await.unwrap();
    assert_eq!((shop.events().await.len(), kept), (2, 0));

    let mut wet = shop.patch_all("key", lines).await;
    wet.pop();
    assert_eq!(statuses(&wet), statuses(&dry));
    assert_eq!(wet[2], dry[2]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn one_line_that_the_database_refuses_fails_alone(db: PgPool) {
    let shop = Shop::new(db.clone());
    lamps(&shop, 300).await;
    sqlx::query("alter table products add check (stock <> 77)").execute(&db).await.unwrap();
    let line = |at| format!("{{\"sku\":\"LAMP-{at}\",\"stock\":{at}}}\n");
    let results = shop.patch_all("", (0..300).map(line).collect::<String>()).await;

    let refused: Vec<&Value> =
        results.iter().filter(|result| result["status"].as_i64().is_some_and(|status| status != 200)).collect();
    assert_eq!((refused.len(), &refused[0]["line"], &refused[0]["status"]), (1, &json!(78), &json!(500)));
    // The eleventh has its ten units already.
    assert_eq!(shop.events().await.len(), 300 + 298);
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_line_is_answered_before_a_slow_producer_sends_the_next(db: PgPool) {
    let shop = Shop::new(db.clone());
    lamps(&shop, 1).await;
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    let body = Body::from_stream(UnboundedReceiverStream::new(lines).map(Ok::<_, Error>));
    let mut answer = shop.stream(Method::PATCH, "/products", "", body).await.into_body().into_data_stream();
    for version in 2..=4 {
        sender.send("{\"sku\":\"LAMP-0\",\"stock_delta\":1}\n".to_owned()).unwrap();
        assert_eq!(results(&answer.next().await.unwrap().unwrap())[0]["version"], version);
    }

    db.close().await;
    sender.send("{\"sku\":\"LAMP-0\",\"stock_delta\":1}\nno json\n".to_owned()).unwrap();
    assert_eq!(statuses(&results(&answer.next().await.unwrap().unwrap())), [503, 400]);
    // What was stored before is promised all the same, and nothing more is read.
    token(&results(&answer.next().now_or_never().unwrap().unwrap().unwrap())[0]);
    assert!(answer.next().now_or_never().unwrap().is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_client_that_does_not_read_is_not_read_and_a_batch_of_the_longest_lines_is_small(db: PgPool) {
    let shop = Shop::new(db);
    lamps(&shop, 1).await;
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let long = format!("{{\"sku\":\"LAMP-0\",\"description\":\"{}\",\"stock_delta\":1}}\n", "\\u00e9".repeat(9_990));
    assert!(long.len() > 59_000);
    let lines = stream::iter(0..).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>(long.clone())
    });
    let mut answer =
        shop.stream(Method::PATCH, "/products", "", Body::from_stream(lines)).await.into_body().into_data_stream();
    assert_eq!(taken.load(Ordering::Relaxed), 0);
    let first = results(&answer.next().await.unwrap().unwrap());
    assert_eq!(statuses(&first), vec![200; first.len()]);
    assert_eq!(taken.load(Ordering::Relaxed), first.len());
    assert!(first.len() <= 18, "a MiB and the line that goes beyond it: {}", first.len());

    drop(answer);
    assert_eq!(Arc::strong_count(&taken), 1, "a client that leaves ends the work");
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_a_bulk_cannot_be_is_refused_as_a_whole(db: PgPool) {
    let shop = Shop::new(db);
    let other = shop.send(Method::PATCH, "/products", JSON, "{}").await;
    assert_eq!((other.status, other.header("accept-patch")), (StatusCode::UNSUPPORTED_MEDIA_TYPE, NDJSON));
    let mistyped = shop.send(Method::PATCH, "/products?dryrun=true", NDJSON, "").await;
    assert_eq!(mistyped.status, StatusCode::BAD_REQUEST);
    let request = Request::patch("/products")
        .header(header::AUTHORIZATION, format!("Bearer {}", shop.key().await))
        .header(header::CONTENT_TYPE, NDJSON)
        .header("if-match", "*");
    let conditional = shop.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(conditional.status(), StatusCode::BAD_REQUEST);

    let endless = || Body::from_stream(stream::pending::<Result<String, Error>>());
    let open = join_all((0..8).map(|_| shop.stream(Method::PATCH, "/products", "", endless()))).await;
    assert!(open.iter().all(|answer| answer.status() == StatusCode::OK));
    for method in [Method::PATCH, Method::POST] {
        let refused = shop.send(method, "/products", NDJSON, "").await;
        assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
    }
    drop(open);
    assert_eq!(shop.send(Method::PATCH, "/products", NDJSON, "").await.status, StatusCode::OK);
}
