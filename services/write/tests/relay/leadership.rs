//! Who leads, and what a running relay survives.

use std::process::Command;
use std::time::{Duration, Instant};

use freshet_write::database::MIGRATOR;
use freshet_write::relay::{Leader, Session};
use futures_util::StreamExt;
use sqlx::PgPool;
use testkit::{eventually, holds};
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use xtask::scratch::Scratch;
use xtask::servers::Postgres;

use crate::shop::{Shop, settle};

#[sqlx::test(migrations = "../../migrations")]
async fn only_one_session_leads_and_the_next_follows_when_it_is_gone(db: PgPool) {
    let shop = Shop::open(db).await;
    let first = Session::claim(&shop.db.connect_options()).await.unwrap();
    assert!(first.is_some());
    assert!(Session::claim(&shop.db.connect_options()).await.unwrap().is_none());

    drop(first);

    eventually(async || Session::claim(&shop.db.connect_options()).await.unwrap()).await;
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_leader_that_holds_the_lock_in_silence_is_unseated(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut silent = shop.leader().await;
    settle(&mut silent).await;
    let event = shop.commit(1, 1).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(shop.relay().run(stop.clone()));

    holds(async || shop.outbox_rows().await == 0).await;

    assert_eq!(shop.events().await, [event]);
    assert!(silent.turn().await.is_err(), "the silent one has lost its session");
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_killed_stream_server_delays_events_and_loses_none(db: PgPool) {
    let mut shop = Shop::open(db).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(shop.relay().run(stop.clone()));
    let first = shop.commit(1, 1).await;
    holds(async || shop.outbox_rows().await == 0).await;

    shop.nats.kill9();
    let second = shop.commit(1, 2).await;
    shop.nats.start_again();

    holds(async || shop.outbox_rows().await == 0).await;
    assert_eq!(shop.events().await, [first, second]);
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(15), running).await.unwrap().unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_relay_that_has_led_for_long_opens_a_session_anew_when_its_stream_is_lost(db: PgPool) {
    let shop = Shop::open(db).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(shop.relay().run(stop.clone()));
    // Longer than a session counts as just opened.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(11) {
        shop.commit(1, 1).await;
        holds(async || shop.outbox_rows().await == 0).await;
    }
    let before = shop.epoch().await;

    shop.context().delete_stream(events::STREAM).await.unwrap();

    let pending = shop.commit(1, 2).await;
    holds(async || shop.outbox_rows().await == 0).await;
    assert!(shop.epoch().await > before);
    assert_eq!(shop.events().await, [pending]);
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn many_wake_ups_are_answered_by_few_turns(db: PgPool) {
    const HEARTBEATS: u32 = 100;
    let shop = Shop::open(db).await;
    let mut heartbeats = shop.client.subscribe(events::HEARTBEAT_SUBJECT).await.unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(shop.relay().run(stop.clone()));
    heartbeats.next().await.unwrap();
    for _ in 0..5_000 {
        shop.client.publish(events::WAKE_SUBJECT, "".into()).await.unwrap();
    }
    shop.client.flush().await.unwrap();

    let begun = Instant::now();
    for _ in 0..HEARTBEATS {
        heartbeats.next().await.unwrap();
    }

    // An idle leader's turns are 50 ms apart; a turn takes a few.
    assert!(begun.elapsed() > HEARTBEATS * Duration::from_millis(25), "{:?}", begun.elapsed());
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_leader_with_a_long_backlog_is_left_alone(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(shop.relay().run(stop.clone()));

    // Longer than the candidate bears silence. Every turn leaves a row out, so none ends with a heartbeat.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        shop.commit_many(501).await;
        assert!(leader.turn().await.unwrap().has_more);
    }

    stop.cancel();
    running.await.unwrap().unwrap();
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_candidate_whose_database_says_nothing_asks_again(db: PgPool) {
    let shop = Shop::open(db).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut relay = shop.relay();
    relay.database = relay.database.host("127.0.0.1").port(silent.local_addr().unwrap().port());
    let stop = CancellationToken::new();
    let running = tokio::spawn(relay.run(stop.clone()));

    let _first = silent.accept().await.unwrap();
    tokio::time::timeout(Duration::from_secs(30), silent.accept()).await.unwrap().unwrap();

    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_backend_that_crashes_begins_a_new_epoch_although_the_server_goes_on() {
    // A server of its own: the crash ends every session.
    let folder = Scratch::new("postgres").unwrap();
    let server = Postgres::start(&folder.path().join("primary"), xtask::ports::free(1)[0]).unwrap();
    let db = PgPool::connect(&server.url()).await.unwrap();
    MIGRATOR.run(&db).await.unwrap();
    let shop = Shop::open(db).await;
    settle(&mut shop.leader().await).await;
    let before = shop.epoch().await;
    let (backend, started): (i32, OffsetDateTime) =
        sqlx::query_as("select pg_backend_pid(), pg_postmaster_start_time()").fetch_one(&shop.db).await.unwrap();

    assert!(Command::new("kill").args(["-9", &backend.to_string()]).status().unwrap().success());

    let (after, still_started): (i64, OffsetDateTime) = eventually(async || {
        let session = Session::claim(&shop.db.connect_options()).await.ok()??;
        Leader::new(session, shop.context()).turn().await.ok()?;
        let row = sqlx::query_as("select number, pg_postmaster_start_time() from epoch where number <> $1");
        row.bind(i64::try_from(before).unwrap()).fetch_optional(&shop.db).await.ok()?
    })
    .await;
    assert!(u64::try_from(after).unwrap() > before);
    assert_eq!(still_started, started);
}
