//! `DELETE /products/{id}`.

use axum::http::StatusCode;
use catalog::ListFields;
use sqlx::PgPool;

use crate::shop::Shop;

#[sqlx::test(migrations = "../../migrations")]
async fn a_delete_leaves_a_tombstone_at_the_next_version_and_tells_what_was_there(db: PgPool) {
    let shop = Shop::new(db.clone());
    let id = shop.lamp().await;
    let before = shop.stored(id).await.unwrap();
    let answer = shop.delete(id).await;

    assert_eq!((answer.status, answer.header("cache-control")), (StatusCode::NO_CONTENT, "no-store"));
    assert!(answer.body.is_empty());
    assert_eq!(shop.stored(id).await, None);
    let (version, is_tombstone): (i64, bool) =
        sqlx::query_as("select version, deleted_at = updated_at from products where id = $1")
            .bind(id)
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!((version, is_tombstone), (2, true));

    let event = &shop.events().await[1];
    assert_eq!((event.kind.as_str(), event.change.version.get()), ("deleted", 2));
    assert_eq!(event.change.before, Some(ListFields::from(&before)));
    assert_eq!(event.change.after, None);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_second_delete_finds_nothing(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    shop.delete(id).await;
    assert_eq!(shop.delete(id).await.status, StatusCode::NOT_FOUND);
    assert_eq!(shop.events().await.len(), 2);
}
