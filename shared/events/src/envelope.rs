//! The CloudEvents 1.0 envelope and the extension attributes that make the stream a log.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Epoch, Position};

/// Where a message stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub epoch: Epoch,
    /// For an event an upper bound of its commit's position; for a heartbeat its *h*, or the position of the events that
    /// were published with it. Never falls within an epoch.
    pub position: Position,
    /// The [`link`](Stamp::link) of the message before this one in the stream, so that a reader sees a gap; `None` for the
    /// very first.
    pub previous: Option<Uuid>,
}

impl Stamp {
    /// What the message after the one of this stamp and `id` names as its previous one: the id and the position in one, by
    /// exclusive or of its last 64 bits.
    ///
    /// The id alone would not do. An event that the stream has lost is sent again, under its id at a higher position; a
    /// reader that knows it from before must see that it has not seen it there.
    pub fn link(&self, id: Uuid) -> Uuid {
        Uuid::from_u128(id.as_u128() ^ u128::from(self.position.0))
    }
}

/// A CloudEvent. Extension attributes: `epoch`, `position`, `previous` (strings, since CloudEvents integers have 32
/// bits), `actor` and `traceparent`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope<D> {
    pub specversion: String,
    /// Random, made with the outbox row; a message that is sent again keeps it.
    pub id: Uuid,
    pub source: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The product's id; absent in a heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub time: OffsetDateTime,
    pub datacontenttype: String,
    // Not flattened from a `Stamp`: serde cannot read raw data beside flattened fields.
    pub epoch: Epoch,
    pub position: Position,
    pub previous: Option<Uuid>,
    /// Who made the change; absent in a heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    pub data: D,
}

impl<D: Serialize> Envelope<D> {
    /// Fills in what is the same in every message of ours.
    pub fn new(id: Uuid, kind: &str, subject: Option<String>, time: OffsetDateTime, stamp: Stamp, data: D) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id,
            source: "/catalog/write".to_owned(),
            kind: kind.to_owned(),
            subject,
            time,
            datacontenttype: "application/json".to_owned(),
            epoch: stamp.epoch,
            position: stamp.position,
            previous: stamp.previous,
            actor: None,
            traceparent: None,
            data,
        }
    }

    pub const fn stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, position: self.position, previous: self.previous }
    }

    /// The message's payload.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an envelope has string keys and no failing serializer")
    }
}
