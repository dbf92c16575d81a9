//! Where a new epoch notes that the one before it may have lost writes.

use sqlx::PgPool;

use crate::shop::{Shop, settle};

/// As the row looks to a server that was started later than the one that made its epoch.
async fn restart(shop: &Shop, on_another_timeline: bool) {
    sqlx::query(
        "update epoch
         set server_started_at = server_started_at - interval '1 hour',
             timeline = timeline + $1",
    )
    .bind(i32::from(on_another_timeline))
    .execute(&shop.db)
    .await
    .unwrap();
}

async fn cuts(shop: &Shop) -> Vec<(i64, i64)> {
    sqlx::query_as("select number, kept_to from cut").fetch_all(&shop.db).await.unwrap()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_cut_is_noted_with_the_epoch_that_begins_on_another_timeline_and_with_no_other(db: PgPool) {
    let shop = Shop::open(db).await;
    settle(&mut shop.leader().await).await;
    restart(&shop, false).await;
    settle(&mut shop.leader().await).await;
    assert_eq!(cuts(&shop).await, [], "a first epoch and one after a restart have lost nothing");

    restart(&shop, true).await;
    settle(&mut shop.leader().await).await;

    let written: i64 =
        sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetch_one(&shop.db).await.unwrap();
    let [(number, kept_to)] = cuts(&shop).await[..] else { panic!("one cut") };
    assert_eq!(u64::try_from(number).unwrap(), shop.epoch().await);
    assert!(kept_to > 0 && kept_to < written);
    restart(&shop, false).await;
    settle(&mut shop.leader().await).await;
    assert_eq!(cuts(&shop).await.len(), 1);
}
