//! `PATCH /products/{id}`.

use axum::http::{Method, StatusCode};
use catalog::Stock;
use futures_util::future::join_all;
use sqlx::PgPool;

use crate::shop::{JSON, Shop};

#[sqlx::test(migrations = "../../migrations")]
async fn a_patch_changes_what_it_names_and_leaves_the_rest(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let before = shop.stored(id).await.unwrap();
    let answer = shop.patch(id, r#"{"price":"17.50","brand":null,"category":"lamps"}"#).await;

    assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, "\"2\""));
    assert_eq!(answer.header("cache-control"), "no-store");
    let after = shop.stored(id).await.unwrap();
    assert_eq!((after.price.to_string().as_str(), after.brand.as_ref(), after.stock), ("17.50", None, before.stock));
    assert_eq!((&after.name, after.created_at), (&before.name, before.created_at));
    assert!(after.updated_at > before.updated_at);

    let event = &shop.events().await[1];
    assert_eq!(event.kind, "updated");
    assert_eq!(event.change.before.as_ref().unwrap().brand, before.brand);
    assert_eq!(event.change.after, Some(after));
}

#[sqlx::test(migrations = "../../migrations")]
async fn plain_json_is_taken_as_a_merge_patch(db: PgPool) {
    let shop = Shop::new(db);
    let path = format!("/products/{}", shop.lamp().await);
    for media_type in [JSON, "Application/Merge-Patch+JSON; charset=utf-8"] {
        let answer = shop.send(Method::PATCH, &path, media_type, r#"{"stock":3}"#).await;
        assert_eq!(answer.json()["stock"], 3, "{media_type}");
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_patch_that_changes_nothing_makes_no_version_and_no_event(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    for nothing in ["{}", r#"{"price":19.99,"currency":"USD"}"#, r#"{"description":null,"stock":4}"#] {
        let answer = shop.patch(id, nothing).await;
        assert_eq!((answer.status, answer.header("etag")), (StatusCode::OK, "\"1\""), "{nothing}");
        assert_eq!(answer.body, shop.stored(id).await.unwrap().to_json());
    }
    assert_eq!(shop.events().await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_unknown_or_deleted_product_is_not_found(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    shop.delete(id).await;
    for absent in [id, id + 1, i64::MAX] {
        let answer = shop.patch(absent, r#"{"stock":1}"#).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert!(answer.pointers().is_empty());
        assert_eq!(answer.json()["detail"], format!("there is no product {absent}"));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_patch_that_does_not_fit_the_stored_product_is_refused(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    for (patch, pointer) in [(r#"{"currency":"JPY"}"#, "#/currency"), (r#"{"price":"1.999"}"#, "#/price")] {
        let answer = shop.patch(id, patch).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{patch}");
        assert_eq!(answer.pointers(), [pointer]);
    }
    assert_eq!(shop.events().await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn concurrent_patches_make_versions_without_gaps_and_one_event_each(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let patches: Vec<String> = (100..140).map(|stock| format!(r#"{{"stock":{stock}}}"#)).collect();
    let answers = join_all(patches.iter().map(|patch| shop.patch(id, patch))).await;

    let mut versions: Vec<i64> = answers.iter().map(|answer| answer.json()["version"].as_i64().unwrap()).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=41).collect::<Vec<_>>());

    let events = shop.events().await;
    assert_eq!(events.iter().map(|event| event.change.version.get()).collect::<Vec<_>>(), (1..=41).collect::<Vec<_>>());
    for pair in events.windows(2) {
        let before: Stock = pair[1].change.before.as_ref().unwrap().stock;
        assert_eq!(pair[0].change.after.as_ref().unwrap().stock, before);
    }
    assert_eq!(shop.stored(id).await, events[40].change.after);
}
