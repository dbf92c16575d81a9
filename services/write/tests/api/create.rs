//! `POST /products` with one product.

use axum::http::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use crate::shop::Shop;

#[sqlx::test(migrations = "../../migrations")]
async fn a_created_product_is_answered_whole_with_its_place_and_version(db: PgPool) {
    let shop = Shop::new(db);
    let answer = shop.post(r#"{"sku":"LAMP-1","name":"Lamp","price":19.9,"category":"lighting/lamps"}"#).await;

    assert_eq!(answer.status, StatusCode::CREATED);
    let product = answer.json();
    let id = product["id"].as_i64().unwrap();
    assert_eq!(answer.header("location"), format!("/products/{id}"));
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let expected = json!({
        "id": id, "sku": "LAMP-1", "name": "Lamp", "description": null, "brand": null, "category": "lighting/lamps",
        "image_url": null, "price": "19.90", "currency": "USD", "stock": 0, "version": 1,
        "created_at": product["created_at"], "updated_at": product["created_at"],
    });
    assert_eq!(product, expected);
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_answer_the_event_and_a_later_query_have_the_same_bytes(db: PgPool) {
    let shop = Shop::new(db);
    // Texts that could be escaped in two ways.
    let body =
        r#"{"sku":"a/b","name":"\u00e9 \"\\/ \ud83d\ude00 \u2028<&>","description":"a\n\tb","price":"1","stock":1}"#;
    let created = shop.post(body).await;
    let id = created.json()["id"].as_i64().unwrap();
    assert_eq!(created.body, shop.stored(id).await.unwrap().to_json());

    let patched = shop.patch(id, r#"{"brand":"Ünïque"}"#).await;
    assert_eq!(patched.body, shop.stored(id).await.unwrap().to_json());

    let events = shop.events().await;
    for (event, answer) in events.iter().zip([created, patched]) {
        let after = format!(r#""after":{},"#, std::str::from_utf8(&answer.body).unwrap());
        assert!(event.data.contains(&after), "{} has not {after}", event.data);
    }
    assert_eq!(events.len(), 2);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_sku_that_another_product_has_is_refused_by_name(db: PgPool) {
    let shop = Shop::new(db);
    shop.lamp().await;
    let answer = shop.post(r#"{"sku":"LAMP-1","name":"Another","price":"1"}"#).await;

    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.pointers(), ["#/sku"]);
    assert_eq!(answer.json()["type"], "/problems/duplicate-sku");
    assert_eq!((shop.count_products().await, shop.events().await.len()), (1, 1));
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_sku_of_a_deleted_product_is_free_and_its_id_never_returns(db: PgPool) {
    let shop = Shop::new(db);
    let first = shop.lamp().await;
    shop.delete(first).await;
    let second = shop.lamp().await;

    assert!(second > first);
    assert_eq!(shop.patch(first, r#"{"stock":1}"#).await.status, StatusCode::NOT_FOUND);
    assert_eq!(shop.stored(second).await.unwrap().version.get(), 1);
}
