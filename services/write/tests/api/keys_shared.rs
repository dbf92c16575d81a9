//! Keys of several instances: what one revokes, every other refuses.

use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use bootstrap::NatsSettings;
use freshet_write::app::App;
use freshet_write::keys::Scope;
use sqlx::PgPool;
use testkit::{NatsServer, holds};
use tokio_util::sync::CancellationToken;

use crate::shop::Shop;

/// An instance that hears of others through NATS, with a pool of its own.
async fn instance(db: &PgPool, nats: &NatsServer) -> Shop {
    let settings = NatsSettings { nats_url: vec![nats.url().parse().unwrap()] };
    let pool = PgPool::connect_with((*db.connect_options()).clone()).await.unwrap();
    let shop = Shop::of(App::new(pool, Some(settings.connect("freshet-write").await.unwrap())));
    tokio::spawn(shop.app.keys.clone().hear(CancellationToken::new()));
    shop
}

/// What the instance says to a key.
async fn answer(shop: &Shop, key: &str) -> StatusCode {
    shop.send_as(&format!("Bearer {key}"), Method::GET, "/keys", "", "").await.status
}

async fn revoke(shop: &Shop, id: impl std::fmt::Display) {
    assert_eq!(shop.send(Method::DELETE, &format!("/keys/{id}"), "", "").await.status, StatusCode::NO_CONTENT);
}

/// How long after now the instance refuses the key.
async fn refused_after(shop: &Shop, key: &str) -> Duration {
    let begun = Instant::now();
    holds(async || answer(shop, key).await == StatusCode::UNAUTHORIZED).await;
    begun.elapsed()
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_that_one_instance_revokes_is_refused_by_every_other_within_a_second(db: PgPool) {
    let nats = testkit::nats();
    let (one, other) = (instance(&db, &nats).await, instance(&db, &nats).await);
    let untouched = one.issue(&Scope::ALL, None).await.key;
    assert_eq!(answer(&other, &untouched).await, StatusCode::OK);
    for _ in 0..20 {
        let key = one.issue(&Scope::ALL, None).await;
        for shop in [&one, &other] {
            assert_eq!(answer(shop, &key.key).await, StatusCode::OK);
        }
        revoke(&one, key.id).await;
        assert_eq!(answer(&one, &key.key).await, StatusCode::UNAUTHORIZED);
        let after = refused_after(&other, &key.key).await;
        assert!(after < Duration::from_secs(1), "{after:?}");
    }
    assert_eq!(answer(&other, &untouched).await, StatusCode::OK);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_was_revoked_while_nats_was_away_is_refused_when_it_is_back(db: PgPool) {
    let mut nats = testkit::nats();
    let (one, other) = (instance(&db, &nats).await, instance(&db, &nats).await);
    let key = one.issue(&Scope::ALL, None).await;
    nats.kill9();
    assert_eq!(answer(&other, &key.key).await, StatusCode::OK);
    let kept_since = Instant::now();
    revoke(&one, key.id).await;
    assert_eq!(answer(&other, &key.key).await, StatusCode::OK, "it has not heard of it");
    nats.start_again();

    let after = refused_after(&other, &key.key).await;
    assert!(kept_since.elapsed() < Duration::from_secs(9), "it was told, and did not find out by itself: {after:?}");
}

#[sqlx::test(migrations = "../../migrations")]
async fn without_nats_a_revocation_takes_ten_seconds_at_most(db: PgPool) {
    let (one, other) = (Shop::new(db.clone()), Shop::new(db));
    let key = one.issue(&Scope::ALL, None).await;
    assert_eq!(answer(&other, &key.key).await, StatusCode::OK);
    revoke(&one, key.id).await;
    assert_eq!(answer(&other, &key.key).await, StatusCode::OK, "it has not heard of it");

    let after = refused_after(&other, &key.key).await;
    assert!(after < Duration::from_secs(11), "{after:?}");
}
