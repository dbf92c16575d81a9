//! A database and a stream of one test's own, and what the relay did to them.

use std::sync::Arc;

use async_nats::jetstream::{self, stream::Stream};
use events::{Epoch, Heartbeat, Message, Position, Stamp};
use freshet_write::relay::{Leader, Relay, Session};
use sqlx::PgPool;
use testkit::{NatsServer, eventually};
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

/// A database of its own and a stream of its own.
pub(crate) struct Shop {
    pub(crate) db: PgPool,
    pub(crate) nats: NatsServer,
    pub(crate) client: async_nats::Client,
}

impl Shop {
    pub(crate) async fn open(db: PgPool) -> Self {
        let nats = testkit::nats();
        let client = async_nats::connect(nats.url()).await.unwrap();
        Self { db, nats, client }
    }

    pub(crate) fn context(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    pub(crate) async fn leader(&self) -> Leader {
        let session = eventually(async || Session::claim(&self.db.connect_options()).await.unwrap()).await;
        Leader::new(session, self.context())
    }

    pub(crate) fn relay(&self) -> Relay {
        let database = (*self.db.connect_options()).clone();
        Relay { database, nats: self.client.clone(), committed: Arc::new(Notify::new()) }
    }

    /// Commits an outbox row that says that `product` was deleted at `version`.
    pub(crate) async fn commit(&self, product: i64, version: i64) -> Uuid {
        let event = Uuid::new_v4();
        self.put_row(event, product, version).await;
        event
    }

    pub(crate) async fn put_row(&self, event: Uuid, product: i64, version: i64) {
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

    /// Commits `count` rows that say the same of one product: order is not looked at where they are used.
    pub(crate) async fn commit_many(&self, count: i32) {
        sqlx::query(
            r#"insert into outbox (event_id, product_id, kind, data, created_at)
               select gen_random_uuid(), 1, 'deleted', '{"id":1,"version":1,"before":null,"after":null}', clock_timestamp()
               from generate_series(1, $1)"#,
        )
        .bind(count)
        .execute(&self.db)
        .await
        .unwrap();
    }

    /// Puts a heartbeat into the stream that says `t` in `epoch`.
    pub(crate) async fn put_heartbeat(&self, epoch: u64, t: OffsetDateTime) {
        let stamp = Stamp { epoch: Epoch(epoch), position: Position(1), previous: None };
        let (subject, payload) = Heartbeat { t, h: Position(1) }.to_message(Uuid::new_v4(), stamp);
        self.context().publish(subject, payload.into()).await.unwrap().await.unwrap();
    }

    /// The time that the stream's last heartbeat says.
    pub(crate) async fn last_announced(&self) -> OffsetDateTime {
        let last = self.stream().await.get_last_raw_message_by_subject(events::HEARTBEAT_SUBJECT).await.unwrap();
        match Message::decode(&last.payload).unwrap() {
            Message::Heartbeat { heartbeat, .. } => heartbeat.t,
            Message::Product(_) => unreachable!("the subject is that of heartbeats"),
        }
    }

    pub(crate) async fn outbox_rows(&self) -> i64 {
        sqlx::query_scalar("select count(*) from outbox").fetch_one(&self.db).await.unwrap()
    }

    pub(crate) async fn epoch(&self) -> u64 {
        let number: i64 = sqlx::query_scalar("select number from epoch").fetch_one(&self.db).await.unwrap();
        number.try_into().unwrap()
    }

    pub(crate) async fn stream(&self) -> Stream {
        self.context().get_stream(events::STREAM).await.unwrap()
    }

    pub(crate) async fn messages(&self) -> Vec<Message> {
        let stream = self.stream().await;
        let last = stream.get_info().await.unwrap().state.last_sequence;
        let mut messages = Vec::new();
        for sequence in 1..=last {
            messages.push(Message::decode(&stream.get_raw_message(sequence).await.unwrap().payload).unwrap());
        }
        messages
    }

    /// The ids of the events in the stream, in order.
    pub(crate) async fn events(&self) -> Vec<Uuid> {
        let messages = self.messages().await;
        messages.iter().filter(|message| matches!(message, Message::Product(_))).map(Message::id).collect()
    }
}

/// Turns until nothing is left out, and settles that.
pub(crate) async fn settle(leader: &mut Leader) {
    while leader.turn().await.unwrap().has_more {}
    leader.settle().await.unwrap();
}
