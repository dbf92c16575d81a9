//! Changes that say what they depend on, and requests that are done once however often they come.

use axum::http::{Method, StatusCode};
use futures_util::future::join_all;
use sqlx::PgPool;

use crate::shop::Shop;

#[sqlx::test(migrations = "../../migrations")]
async fn a_stale_version_is_refused_with_the_product_as_it_is(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    shop.patch(id, r#"{"price":"17.99"}"#).await;

    for stale in ["\"1\"", "W/\"2\"", "\"1\", \"3\"", "\"other\""] {
        let refused = shop.change(Method::PATCH, id, &[("if-match", stale)], r#"{"price":"1.00"}"#).await;
        assert_eq!((refused.status, refused.header("etag")), (StatusCode::PRECONDITION_FAILED, "\"2\""), "{stale}");
        let problem = refused.json();
        assert_eq!(problem["type"], "/problems/stale-version");
        assert_eq!((&problem["current"]["version"], &problem["current"]["price"]), (&2.into(), &"17.99".into()));
        assert_eq!(shop.change(Method::DELETE, id, &[("if-match", stale)], "").await.status.as_u16(), 412);
    }
    for (met, etag) in [("\"1\", \"2\"", "\"3\""), ("*", "\"4\"")] {
        let json = format!(r#"{{"price":"{}"}}"#, etag.len() + met.len());
        let done = shop.change(Method::PATCH, id, &[("if-match", met)], &json).await;
        assert_eq!((done.status, done.header("etag")), (StatusCode::OK, etag), "{met}");
    }
    assert_eq!(shop.change(Method::PATCH, id, &[("if-match", "4")], "{}").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(shop.change(Method::DELETE, id, &[("if-match", "\"4\"")], "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(shop.change(Method::DELETE, id, &[("if-match", "\"5\"")], "").await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_not_wanted_is_left_out_of_the_answer(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let minimal = shop.change(Method::PATCH, id, &[("prefer", "wait=5, return=minimal")], r#"{"stock":9}"#).await;

    assert_eq!((minimal.status, minimal.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!((minimal.header("etag"), minimal.header("preference-applied")), ("\"2\"", "return=minimal"));
    assert_eq!(minimal.token().product.unwrap().1.get(), 2);
    let refused = shop.change(Method::PATCH, id, &[("prefer", "return=minimal")], r#"{"stock":-9}"#).await;
    assert!(refused.status == StatusCode::UNPROCESSABLE_ENTITY && !refused.body.is_empty());
}

#[sqlx::test(migrations = "../../migrations")]
async fn four_units_and_a_hundred_and_twenty_buyers_at_two_instances_leave_exactly_zero(db: PgPool) {
    let shops = Shop::two(&db).await;
    let id = shops[0].lamp().await;

    let buy = |buyer: usize| shops[buyer % 2].change(Method::PATCH, id, &[], r#"{"stock_delta":-1}"#);
    let answers = join_all((0..120).map(buy)).await;

    let sold = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == StatusCode::CONFLICT).collect();
    assert_eq!((sold, refused.len()), (4, 116));
    let problem = refused[0].json();
    assert_eq!((&problem["type"], &problem["current"]["stock"]), (&"/problems/stock-below-zero".into(), &0.into()));
    assert_eq!(refused[0].pointers(), ["#/stock_delta"]);
    assert_eq!(shops[0].stored(id).await.unwrap().stock.get(), 0);
    assert_eq!(shops[0].events().await.len(), 5);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_repeated_request_gets_its_first_answer_and_does_nothing(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let buy = || shop.change(Method::PATCH, id, &[("idempotency-key", "\"order-1\"")], r#"{"stock_delta":-1}"#);
    let first = buy().await;
    shop.patch(id, r#"{"price":"1.00"}"#).await;
    let again = buy().await;

    assert_eq!((first.status, again.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!((&first.body, first.header("etag")), (&again.body, again.header("etag")));
    let (before, after) = (first.token(), again.token());
    assert!(before.product == after.product && before.position < after.position, "the token is a fresh one");
    assert_eq!(shop.stored(id).await.unwrap().stock.get(), 3);

    for other in [r#"{"stock_delta":-2}"#, r#"{"stock_delta": -1}"#] {
        let reused = shop.change(Method::PATCH, id, &[("idempotency-key", "order-1")], other).await;
        assert_eq!(reused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(reused.json()["type"], "/problems/key-reused");
    }
    let conditional = [("idempotency-key", "order-1"), ("if-match", "\"9\"")];
    let reused = shop.change(Method::PATCH, id, &conditional, r#"{"stock_delta":-1}"#).await;
    assert_eq!(reused.json()["type"], "/problems/key-reused");
    assert_eq!(shop.events().await.len(), 3);
}

#[sqlx::test(migrations = "../../migrations")]
async fn refusals_and_deletes_are_answers_that_are_repeated_too(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let keyed = async |method: Method, id: i64, key: &str, json: &str| {
        shop.change(method, id, &[("idempotency-key", key)], json).await
    };
    let refused = keyed(Method::PATCH, id, "a", r#"{"stock_delta":-5}"#).await;
    let nobody = keyed(Method::PATCH, id + 1, "b", r#"{"stock":1}"#).await;
    shop.patch(id, r#"{"stock":100}"#).await;
    let deleted = keyed(Method::DELETE, id, "c", "").await;

    let again = keyed(Method::PATCH, id, "a", r#"{"stock_delta":-5}"#).await;
    assert_eq!((again.status, &again.body), (StatusCode::CONFLICT, &refused.body));
    assert_eq!(again.header("content-type"), "application/problem+json");
    assert_eq!(keyed(Method::PATCH, id + 1, "b", r#"{"stock":1}"#).await.body, nobody.body);
    let again = keyed(Method::DELETE, id, "c", "").await;
    assert_eq!((deleted.status, again.status), (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT));
    assert_eq!(again.token().product.unwrap().1.get(), 3);
    assert_eq!(shop.delete(id).await.status, StatusCode::NOT_FOUND);
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_requests_with_one_key_that_come_together_one_is_done_and_all_get_its_answer(db: PgPool) {
    let shops = Shop::two(&db).await;
    let id = shops[0].lamp().await;
    for round in 0..10 {
        let key = format!("order-{round}");
        let headers = [("idempotency-key", key.as_str())];
        let buy = |buyer: usize| shops[buyer % 2].change(Method::PATCH, id, &headers, r#"{"stock_delta":1}"#);
        let answers = join_all((0..8).map(buy)).await;
        assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{round}");
        assert_eq!(answers[0].json()["stock"], 5 + round);
    }
    let kept: i64 = sqlx::query_scalar("select count(*) from idempotency").fetch_one(&db).await.unwrap();
    assert_eq!((kept, shops[0].events().await.len()), (10, 11));
}

#[sqlx::test(migrations = "../../migrations")]
async fn texts_prices_and_deletes_share_a_transaction_and_the_words_are_those_that_are_stored(db: PgPool) {
    let shop = Shop::new(db.clone());
    let mut ids = Vec::new();
    for number in 0..3 {
        let lamp = format!(r#"{{"sku":"LAMP-{number}","name":"Lamp","price":"19.99","stock":4}}"#);
        ids.push(shop.post(&lamp).await.json()["id"].as_i64().unwrap());
    }
    let named = shop.change(Method::PATCH, ids[0], &[], r#"{"name":"Bright/Desk lamps","description":"Ünïcode <b>"}"#);
    let (named, priced, deleted) = tokio::join!(named, shop.patch(ids[1], r#"{"price":"1.00"}"#), shop.delete(ids[2]));

    assert_eq!([named.status, priced.status, deleted.status].map(|status| status.as_u16()), [200, 200, 204]);
    let transactions: i64 = sqlx::query_scalar("select count(distinct xmin::text) from outbox where kind <> 'created'")
        .fetch_one(&db)
        .await
        .unwrap();
    assert_eq!(transactions, 1);
    let stored: String =
        sqlx::query_scalar("select array_to_string(tsvector_to_array(search), ' ') from products where id = $1")
            .bind(ids[0])
            .fetch_one(&db)
            .await
            .unwrap();
    let events = shop.events().await;
    let words = |id: i64| {
        let event = events.iter().rfind(|event| event.change.id.get() == id).unwrap();
        event.change.words.clone().unwrap()
    };
    assert_eq!(words(ids[0]).after, Some(stored));
    assert!(words(ids[0]).before.is_some() && words(ids[1]).before.is_none());
    assert!(words(ids[2]).after.is_none() && shop.stored(ids[2]).await.is_none());
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_committed_before_its_answer_became_unreadable_is_not_done_again(db: PgPool) {
    let shop = Shop::new(db.clone());
    let mut ids = Vec::new();
    for number in 0..2 {
        let lamp = format!(r#"{{"sku":"LAMP-{number}","name":"Lamp","price":"19.99","stock":4}}"#);
        ids.push(shop.post(&lamp).await.json()["id"].as_i64().unwrap());
    }
    sqlx::query(
        r#"create or replace procedure commit_changes(
               decided_at timestamptz, updates product_update[], texts product_texts[], changes product_change[],
               answers kept_answer[], out passed_over bigint[], out epoch bigint, out "position" bigint
           )
           language plpgsql
           as $$
           begin
               passed_over := apply_changes(decided_at, updates, texts, changes, answers);
               commit;
               epoch := null;
           end
           $$"#,
    )
    .execute(&db)
    .await
    .unwrap();

    let answers = join_all(ids.iter().map(|id| shop.patch(*id, r#"{"stock_delta":-1}"#))).await;

    for (id, answer) in ids.iter().zip(answers) {
        assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "1"));
        assert_eq!(shop.stored(*id).await.unwrap().stock.get(), 3);
    }
}
