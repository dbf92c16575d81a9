//! A stand-in for the relay where a test is about what follows the stream: publishes messages as the relay would.

use async_nats::jetstream::{self, stream::Config};
use catalog::{ListFields, Product};
use events::{Change, Envelope, Epoch, Heartbeat, Position, Stamp};
use time::OffsetDateTime;
use uuid::Uuid;

/// The one publisher of a stream `CATALOG` that it made itself.
pub struct Publisher {
    context: jetstream::Context,
    pub epoch: Epoch,
    previous: Option<Uuid>,
}

impl Publisher {
    /// Makes the stream on a server that has none.
    ///
    /// # Panics
    /// The server cannot be reached or refuses the stream.
    pub async fn new(nats_url: &str, epoch: Epoch) -> Self {
        let context = jetstream::new(async_nats::connect(nats_url).await.expect("NATS takes the connection"));
        let config: Config = serde_json::from_str(include_str!("../../../nats/catalog.json")).expect("a stream");
        context.get_or_create_stream(config).await.expect("the stream is made");
        Self { context, epoch, previous: None }
    }

    /// Publishes that `after` is what became of the product that had `before`.
    pub async fn changed(&mut self, before: Option<&Product>, after: &Product, position: Position) {
        let change = Change {
            id: after.id,
            version: after.version,
            before: before.map(ListFields::from),
            after: Some(after.clone()),
            words: None,
        };
        self.change(change, position).await;
    }

    /// Publishes that `before` was deleted.
    pub async fn deleted(&mut self, before: &Product, position: Position) {
        let change = Change {
            id: before.id,
            version: before.version.next(),
            before: Some(ListFields::from(before)),
            after: None,
            words: None,
        };
        self.change(change, position).await;
    }

    /// Publishes that the stream is complete up to `h`.
    pub async fn heartbeat(&mut self, h: Position) {
        let id = Uuid::new_v4();
        let stamp = self.stamp(id, h);
        let (subject, payload) = Heartbeat { t: OffsetDateTime::now_utc(), h }.to_message(id, stamp);
        self.raw(subject, payload).await;
    }

    /// Lets the next message name one before it that nobody has seen, as after a loss.
    pub fn lose_one(&mut self) {
        self.previous = Some(Uuid::new_v4());
    }

    /// Publishes any bytes.
    ///
    /// # Panics
    /// The stream does not store them.
    pub async fn raw(&self, subject: &str, payload: Vec<u8>) {
        let answer = self.context.publish(subject.to_owned(), payload.into()).await.expect("NATS takes the message");
        answer.await.expect("the stream stores the message");
    }

    async fn change(&mut self, change: Change, position: Position) {
        let id = Uuid::new_v4();
        let stamp = self.stamp(id, position);
        let kind = change.kind();
        let (subject, product) = (kind.subject(change.id), change.id.to_string());
        let envelope = Envelope::new(id, &kind.event_type(), Some(product), OffsetDateTime::now_utc(), stamp, change);
        self.raw(&subject, envelope.to_json()).await;
    }

    fn stamp(&mut self, id: Uuid, position: Position) -> Stamp {
        let stamp = Stamp { epoch: self.epoch, position, previous: self.previous };
        self.previous = Some(stamp.link(id));
        stamp
    }
}
