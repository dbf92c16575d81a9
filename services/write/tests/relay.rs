//! The relay on a real database and a real stream, one turn at a time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, stream::Stream};
use events::{Epoch, Heartbeat, Message, Position, Stamp};
use freshet_write::relay::{Leader, Relay, RelayError, Session};
use sqlx::PgPool;
use testkit::{NatsServer, eventually, holds};
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A database of its own and a stream of its own.
struct Shop {
    db: PgPool,
    nats: NatsServer,
    client: async_nats::Client,
}

impl Shop {
    async fn open(db: PgPool) -> Self {
        let nats = testkit::nats();
        let client = async_nats::connect(nats.url()).await.unwrap();
        Self { db, nats, client }
    }

    fn context(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    async fn leader(&self) -> Leader {
        let session = eventually(async || Session::claim(&self.db.connect_options()).await.unwrap()).await;
        Leader::new(session, self.context())
    }

    fn relay(&self) -> Relay {
        let database = (*self.db.connect_options()).clone();
        Relay { database, nats: self.client.clone(), committed: Arc::new(Notify::new()) }
    }

    /// Commits an outbox row that says that `product` was deleted at `version`.
    async fn commit(&self, product: i64, version: i64) -> Uuid {
        let event = Uuid::new_v4();
        self.put_row(event, product, version).await;
        event
    }

    async fn put_row(&self, event: Uuid, product: i64, version: i64) {
        let data = serde_json::json!({"id": product, "version": version, "before": null, "after": null});
        sqlx::query(
            "insert into outbox (event_id, product_id, kind, data, created_at)
             values ($1, $2, 'deleted', $3, clock_timestamp())",
        )
        .bind(event)
        .bind(product)
        .bind(data.to_string())
        .execute(&self.db)
        .await
        .unwrap();
    }

    async fn outbox_rows(&self) -> i64 {
        sqlx::query_scalar("select count(*) from outbox").fetch_one(&self.db).await.unwrap()
    }

    async fn epoch(&self) -> u64 {
        let number: i64 = sqlx::query_scalar("select number from epoch").fetch_one(&self.db).await.unwrap();
        number.try_into().unwrap()
    }

    async fn stream(&self) -> Stream {
        self.context().get_stream(events::STREAM).await.unwrap()
    }

    async fn messages(&self) -> Vec<Message> {
        let stream = self.stream().await;
        let last = stream.get_info().await.unwrap().state.last_sequence;
        let mut messages = Vec::new();
        for sequence in 1..=last {
            messages.push(Message::decode(&stream.get_raw_message(sequence).await.unwrap().payload).unwrap());
        }
        messages
    }

    /// The ids of the events in the stream, in order.
    async fn events(&self) -> Vec<Uuid> {
        let messages = self.messages().await;
        messages.iter().filter(|message| matches!(message, Message::Product(_))).map(Message::id).collect()
    }
}

/// Turns until nothing is left out.
async fn settle(leader: &mut Leader) {
    while leader.turn().await.unwrap().has_more {}
}

#[sqlx::test(migrations = "../../migrations")]
async fn committed_changes_go_into_the_stream_in_order_and_leave_the_outbox(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    let mut expected = Vec::new();
    for version in 1..=1_200 {
        expected.push(shop.commit(version % 7 + 1, version).await);
    }

    settle(&mut leader).await;

    assert_eq!(shop.events().await, expected);
    assert_eq!(shop.outbox_rows().await, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_message_names_the_one_before_it_and_positions_never_fall(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    for version in 1..=5 {
        shop.commit(1, version).await;
        settle(&mut leader).await;
        leader.turn().await.unwrap();
    }

    let messages = shop.messages().await;
    assert_eq!(messages[0].stamp().previous, None);
    for pair in messages.windows(2) {
        assert_eq!(pair[1].stamp().previous, Some(pair[0].id()));
        assert!(pair[1].stamp().position >= pair[0].stamp().position);
        assert_eq!(pair[1].stamp().epoch, Epoch(shop.epoch().await));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_heartbeat_follows_only_when_nothing_was_left_out(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    for version in 1..=501 {
        shop.commit(1, version).await;
    }
    let mut has_more = 0;
    while leader.turn().await.unwrap().has_more {
        has_more += 1;
    }

    let messages = shop.messages().await;
    assert_eq!(has_more, 2, "one turn began the epoch, one left a row out");
    assert_eq!(messages.len(), 502);
    assert!(matches!(messages.last(), Some(Message::Heartbeat { .. })));
}

#[sqlx::test(migrations = "../../migrations")]
async fn time_in_heartbeats_never_falls_over_a_change_of_leader(db: PgPool) {
    let shop = Shop::open(db).await;
    for _ in 0..3 {
        let mut leader = shop.leader().await;
        settle(&mut leader).await;
        leader.turn().await.unwrap();
    }

    let times: Vec<OffsetDateTime> = shop
        .messages()
        .await
        .iter()
        .filter_map(|message| match message {
            Message::Heartbeat { heartbeat, .. } => Some(heartbeat.t),
            Message::Product(_) => None,
        })
        .collect();
    assert!(times.len() >= 6);
    assert!(times.is_sorted());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_row_that_the_stream_already_holds_is_deleted_and_not_sent_again(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let (mark, id): (i64, Option<Uuid>) =
        sqlx::query_as("select mark_sequence, mark_id from epoch").fetch_one(&shop.db).await.unwrap();
    let event = shop.commit(1, 1).await;
    settle(&mut leader).await;
    drop(leader);
    // What a leader leaves behind that died between the stream's answer and its own commit.
    shop.put_row(event, 1, 1).await;
    sqlx::query("update epoch set mark_sequence = $1, mark_id = $2")
        .bind(mark)
        .bind(id)
        .execute(&shop.db)
        .await
        .unwrap();
    let later = shop.commit(1, 2).await;

    settle(&mut shop.leader().await).await;

    assert_eq!(shop.events().await, [event, later]);
    assert_eq!(shop.outbox_rows().await, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_lost_stream_begins_a_new_epoch_that_sends_every_pending_row(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    shop.commit(1, 1).await;
    settle(&mut leader).await;
    let before = shop.epoch().await;
    shop.context().delete_stream(events::STREAM).await.unwrap();
    let pending = shop.commit(1, 2).await;

    assert!(leader.turn().await.is_err());
    leader.forget_stream();
    settle(&mut leader).await;

    assert!(shop.epoch().await > before);
    assert_eq!(shop.events().await, [pending]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_stream_with_another_message_at_the_mark_begins_a_new_epoch(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let before = shop.epoch().await;
    drop(leader);
    sqlx::query("update epoch set mark_id = $1").bind(Uuid::new_v4()).execute(&shop.db).await.unwrap();

    settle(&mut shop.leader().await).await;

    assert!(shop.epoch().await > before);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_publish_behind_the_back_of_the_leader_is_fenced_off_and_survived(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let epoch = shop.epoch().await;
    shop.context().publish(events::HEARTBEAT_SUBJECT, "not ours".into()).await.unwrap().await.unwrap();
    // Of two events and a heartbeat, the second event would fit where the first was expected.
    let expected = [shop.commit(1, 1).await, shop.commit(1, 2).await];
    let foreign = shop.stream().await.get_info().await.unwrap().state.last_sequence;

    assert!(matches!(leader.turn().await, Err(RelayError::Stream(_))));
    leader.forget_stream();
    settle(&mut leader).await;

    assert_eq!(shop.epoch().await, epoch);
    let stream = shop.stream().await;
    for (sequence, event) in (foreign + 1..).zip(expected) {
        let sent = Message::decode(&stream.get_raw_message(sequence).await.unwrap().payload).unwrap();
        assert_eq!(sent.id(), event);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_relay_of_an_old_primary_stops_when_it_sees_a_higher_epoch(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let heartbeat = Heartbeat { t: OffsetDateTime::now_utc(), h: Position(1) };
    let stamp = Stamp { epoch: Epoch(shop.epoch().await + 1), position: Position(1), previous: None };
    let (subject, payload) = heartbeat.to_message(Uuid::new_v4(), stamp);
    shop.context().publish(subject, payload.into()).await.unwrap().await.unwrap();
    shop.commit(1, 1).await;

    assert!(leader.turn().await.is_err());
    leader.forget_stream();

    assert!(matches!(leader.turn().await, Err(RelayError::Deposed { .. })));
    assert_eq!(shop.outbox_rows().await, 1, "nothing is lost");
}

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
