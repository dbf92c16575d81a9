//! A node goes on while Redis, NATS, a replica or the primary is away.

use events::{Epoch, Position};
use futures_util::future::join_all;
use http::StatusCode;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use testkit::{Databases, Publisher, holds};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::node::{EPOCH, NOWHERE, World, insert, lock_products, position, set_epoch, until_waiting};

const USABLE: &str = "freshet_replica_usable{replica=\"0\"}";

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_a_replica_answers_and_redis_is_used_again_when_it_is_back() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    tokio::task::block_in_place(|| world.redis.kill9());

    for _ in 0..20 {
        let answer = node.get(&format!("/products/{}", lamp.id)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.header("cache-status"), "redis; fwd=bypass; detail=replica");
    }
    assert!(node.is_ready().await);
    assert!(node.metric("freshet_cache_requests_total{tier=\"redis\",result=\"error\"}").await >= 20.0);

    tokio::task::block_in_place(|| world.redis.start_again());
    holds(async || node.cache_status(lamp.id).await == "redis; hit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_at_start_postgres_answers_and_the_log_is_joined_when_it_is_there() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    tokio::task::block_in_place(|| world.nats.kill9());

    let node = world.node_with(&world.databases.replica_url, &["--nats-wait-ms", "100"]).await;
    assert_eq!(node.product(lamp.id).await, lamp);
    assert_eq!(node.cache_status(lamp.id).await, "redis; fwd=bypass; detail=replica");

    tokio::task::block_in_place(|| world.nats.start_again());
    holds(async || node.cache_status(lamp.id).await == "redis; hit").await;
    let newer = world.set_stock(&lamp, 3).await;
    node.has_seen(&newer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_not_ready_before_it_has_caught_up_with_the_log() {
    let mut world = World::new().await;
    tokio::task::block_in_place(|| world.nats.kill9());
    let node = world.start_node(&world.databases.replica_url, &["--nats-wait-ms", "3600000"]).await;
    holds(async || node.metric(USABLE).await > 0.0).await;
    assert!(!node.is_ready().await);

    tokio::task::block_in_place(|| world.nats.start_again());
    world.heartbeat().await;

    holds(async || node.is_ready().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_that_restarts_is_followed_again_and_nothing_is_missed() {
    let mut world = World::new().await;
    let mut lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    node.has_seen(&lamp).await;

    for stock in 0..3 {
        tokio::task::block_in_place(|| {
            world.nats.kill9();
            world.nats.start_again();
        });
        assert!(node.is_ready().await, "losing NATS later is no reason to leave");
        lamp = world.set_stock(&lamp, stock).await;
        node.has_seen(&lamp).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_made_anew_is_followed_from_its_beginning() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    node.has_seen(&lamp).await;
    let jetstream = async_nats::jetstream::new(async_nats::connect(world.nats.url()).await.unwrap());
    jetstream.delete_stream(events::STREAM).await.unwrap();
    world.relay = Publisher::new(world.nats.url(), EPOCH).await;
    world.heartbeat().await;

    let newer = world.set_stock(&lamp, 1).await;

    node.has_seen(&newer).await;
    assert!(node.metric("freshet_log_restarts_total{reason=\"replaced\"}").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_cannot_be_decoded_is_a_gap_and_no_end() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    node.has_seen(&lamp).await;
    world.relay.raw(events::HEARTBEAT_SUBJECT, b"{}".to_vec()).await;

    let newer = world.set_stock(&lamp, 1).await;

    node.has_seen(&newer).await;
    assert!(node.metric("freshet_log_undecodable_total").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_replica_the_primary_answers_within_its_budget() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    tokio::task::block_in_place(|| world.redis.kill9());
    let node = world.node_with(NOWHERE, &["--primary-reads-per-second", "1"]).await;
    let path = format!("/products/{}", lamp.id);

    let answer = node.get(&path).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-status"), "redis; fwd=bypass; detail=primary");
    let mut last = answer;
    holds(async || {
        last = node.get(&path).await;
        last.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    assert_eq!(last.header("retry-after"), "1");
    assert_eq!(last.problem().detail, "the database is busy");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_primary_the_replica_answers() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let databases = world.databases.clone();
    world.databases = Databases { primary_url: NOWHERE.to_owned(), ..databases };
    let node = world.node().await;

    assert_eq!(node.product(lamp.id).await, lamp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_hangs_delays_its_readers_and_fails_none() {
    let mut world = World::new().await;
    let (frozen, mut replica) = world.frozen_replica().await;
    let hang = CancellationToken::new();
    let node = world.node_with(&hanging(&frozen.primary_url, hang.clone()).await, &[]).await;
    let lamp = world.create("LAMP-1").await;
    let mut lock = replica.begin().await.unwrap();
    lock_products(&mut lock).await;

    let hang_under_way = async {
        until_waiting(&mut lock, 1).await;
        hang.cancel();
    };
    let (answer, ()) = tokio::join!(node.get("/products?skus=LAMP-1"), hang_under_way);

    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-status"), "redis; fwd=bypass; detail=primary; stored");
    holds(async || node.metric(USABLE).await < 1.0).await;
    assert_eq!(node.product(lamp.id).await, lamp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_that_takes_too_long_is_not_tried_again_on_the_primary() {
    let mut world = World::new().await;
    let (frozen, mut replica) = world.frozen_replica().await;
    let node = world.node_with(&frozen.primary_url, &[]).await;
    let lamp = world.create("LAMP-1").await;
    let mut lock = replica.begin().await.unwrap();
    lock_products(&mut lock).await;
    let primary = "freshet_source_queries_total{source=\"primary\"}";
    let before = node.metric(primary).await;

    let answer = node.get("/products/search?q=lamp").await;

    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.problem().detail.contains("narrow it"), "{}", answer.problem().detail);
    assert!(node.metric(primary).await <= before);
    assert_eq!(node.product(lamp.id).await, lamp, "a look-up goes on to the primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_has_ended_cost_nobody_an_answer() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node_with(NOWHERE, &[]).await;
    let mut lock = world.primary.begin().await.unwrap();
    lock_products(&mut lock).await;
    let release = async {
        until_waiting(&mut lock, 4).await;
        lock.rollback().await.unwrap();
    };
    let path = "/products?skus=LAMP-1";
    tokio::join!(join_all((0..4).map(|_| node.get(path))), release);
    let end = "select count(*) filter (where pg_terminate_backend(pid, 10000)) from pg_stat_activity
        where datname = current_database() and application_name = 'freshet-read'";
    let ended: i64 = sqlx::query_scalar(end).fetch_one(&mut world.primary).await.unwrap();
    assert!(ended >= 4, "{ended}");

    let answers = join_all((0..8).map(|_| node.get(path))).await;

    for answer in answers {
        assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.problem());
    }
    assert_eq!(node.product(lamp.id).await, lamp);
}

/// The URL of a server that passes everything on, until it is told to hang: then nothing passes and nothing closes.
async fn hanging(url: &str, hang: CancellationToken) -> String {
    let options: PgConnectOptions = url.parse().unwrap();
    let (host, port) = (options.get_host().to_owned(), options.get_port());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect((host.as_str(), port)).await.unwrap();
            let hang = hang.clone();
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                    () = hang.cancelled() => std::future::pending().await,
                }
            });
        }
    });
    options.host("127.0.0.1").port(own.port()).to_url_lossy().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_too_far_is_left_out_until_it_has_caught_up() {
    let mut world = World::new().await;
    let lamp = insert(&mut world.primary, "LAMP-1").await;
    let node = world.node_with(&world.databases.replica_url, &["--replica-lag-max-ms", "400"]).await;
    // No replica can have replayed what the primary has not written.
    let ahead = Position(position(&mut world.primary).await.0 + (1 << 40));

    holds(async || {
        world.relay.heartbeat(ahead).await;
        node.metric(USABLE).await < 1.0
    })
    .await;
    assert_eq!(node.cache_status(lamp.id).await, "redis; fwd=uri-miss; detail=primary; stored");

    holds(async || {
        world.heartbeat().await;
        node.metric(USABLE).await > 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_an_older_epoch_is_left_out_until_it_follows_the_new_one() {
    let mut world = World::new().await;
    let (frozen, mut replica) = world.frozen_replica().await;
    let node = world.node_with(&frozen.primary_url, &[]).await;
    holds(async || node.metric(USABLE).await > 0.0).await;

    world.relay.epoch = Epoch(EPOCH.0 + 1);
    world.heartbeat().await;
    holds(async || node.metric(USABLE).await < 1.0).await;

    set_epoch(&mut replica, world.relay.epoch).await;
    holds(async || node.metric(USABLE).await > 0.0).await;
}
