//! What stands in the stream `CATALOG`: CloudEvents 1.0 in structured JSON, one for each change and a heartbeat.

mod envelope;
mod log;
mod message;

pub use envelope::{Envelope, Stamp};
pub use log::{Epoch, Position};
pub use message::{Change, ChangeKind, DecodeError, Heartbeat, Message, ProductEvent, Words};

/// The stream that holds every message.
pub const STREAM: &str = "CATALOG";
/// Every subject in it.
pub const SUBJECTS: &str = "catalog.>";
/// Every subject of a product event; `catalog.products.{created,updated,deleted}.<id>`.
pub const PRODUCT_SUBJECTS: &str = "catalog.products.>";
/// The subject of heartbeats, in the stream too.
pub const HEARTBEAT_SUBJECT: &str = "catalog.heartbeat";
/// Core NATS, outside any stream: a write instance tells the relay leader that something was committed.
pub const WAKE_SUBJECT: &str = "catalog.outbox.wake";
/// Core NATS too: a write instance tells the others which API key was revoked, by its id; without one, that they may have
/// missed something.
pub const KEYS_SUBJECT: &str = "catalog.keys.changed";
/// The stream of messages that a consumer could not decode, on `catalog.dlq.<consumer>`.
pub const DEAD_LETTER_STREAM: &str = "CATALOG_DLQ";

/// The subject on which `consumer` puts what it could not decode.
pub fn dead_letter_subject(consumer: &str) -> String {
    format!("catalog.dlq.{consumer}")
}
