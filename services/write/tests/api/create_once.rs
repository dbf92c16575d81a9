//! `POST /products` of one product with an idempotency key.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures_util::future::join_all;
use sqlx::PgPool;
use tower::ServiceExt;

use crate::shop::{Answer, JSON, Shop};

const LAMP: &str = r#"{"sku":"LAMP-1","name":"Lamp","price":"19.99","stock":4}"#;

impl Shop {
    async fn create_once(&self, key: &str, json: &str) -> Answer {
        let request = Request::post("/products")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key().await))
            .header(header::CONTENT_TYPE, JSON)
            .header("idempotency-key", key);
        let request = request.body(Body::from(json.to_owned())).unwrap();
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_repeated_creation_gets_its_first_answer_and_a_fresh_token(db: PgPool) {
    let shop = Shop::new(db);
    let first = shop.create_once("order", LAMP).await;
    let id = first.json()["id"].as_i64().unwrap();
    shop.patch(id, r#"{"stock":1}"#).await;
    let again = shop.create_once("\"order\"", LAMP).await;

    assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED));
    assert_eq!(first.body, again.body);
    for name in ["location", "etag", "content-type", "cache-control"] {
        assert_eq!(first.header(name), again.header(name), "{name}");
    }
    assert_eq!((again.header("location"), again.header("etag")), (format!("/products/{id}").as_str(), "\"1\""));
    assert_eq!(first.token().product, again.token().product);
    assert!(first.token().position < again.token().position);
    assert_eq!((shop.count_products().await, shop.events().await.len()), (1, 2));

    let other = shop.create_once("order", r#"{"sku":"LAMP-2","name":"Lamp","price":"19.99"}"#).await;
    assert_eq!(
        (other.status, other.json()["type"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("/problems/key-reused"))
    );
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_sku_that_was_taken_stays_the_answer_under_the_key(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let refused = shop.create_once("order", LAMP).await;
    assert_eq!((refused.status, refused.pointers()), (StatusCode::CONFLICT, vec!["#/sku".to_owned()]));
    shop.delete(id).await;

    let again = shop.create_once("order", LAMP).await;
    assert_eq!((again.status, &again.body), (StatusCode::CONFLICT, &refused.body));
    assert_eq!(again.header("content-type"), "application/problem+json");
    assert_eq!(shop.create_once("another", LAMP).await.status, StatusCode::CREATED);
}

#[sqlx::test(migrations = "../../migrations")]
async fn of_creations_with_one_key_that_come_together_one_is_done_and_all_get_its_answer(db: PgPool) {
    let shops = Shop::two(&db).await;
    for round in 0..10 {
        let (key, lamp) = (format!("order-{round}"), LAMP.replace("LAMP-1", &format!("LAMP-{round}")));
        let answers = join_all((0..6).map(|client| shops[client % 2].create_once(&key, &lamp))).await;
        assert!(answers.iter().all(|answer| answer.status == StatusCode::CREATED && answer.body == answers[0].body));
    }
    assert_eq!((shops[0].count_products().await, shops[0].events().await.len()), (10, 10));
}
