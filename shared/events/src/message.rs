//! What a message says: that a product changed, or that the log is complete up to a moment.

use catalog::{ListFields, Product, ProductId, Version};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{Envelope, HEARTBEAT_SUBJECT, Position, Stamp};

const HEARTBEAT_TYPE: &str = "catalog.heartbeat.v1";

/// How a product came to its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Created,
    Updated,
    Deleted,
}

impl ChangeKind {
    pub const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Deleted];

    /// The word in subjects and in the outbox.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The CloudEvents type.
    pub fn event_type(self) -> String {
        format!("catalog.product.{}.v1", self.word())
    }

    /// The subject that a change of this kind is published on.
    pub fn subject(self, id: ProductId) -> String {
        format!("catalog.products.{}.{id}", self.word())
    }
}

/// The data of a product event: the product before and after one change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub id: ProductId,
    pub version: Version,
    /// `None` for a created product.
    pub before: Option<ListFields>,
    /// The whole product; `None` for a deleted one.
    pub after: Option<Product>,
    /// What it is found by in a search; `None` if that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
}

/// The lexemes that Postgres keeps of a product, as a text search looks for them: separated by spaces, each once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// `None` if the change left the product's texts as they were, and for a created one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// `None` for a deleted product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Change {
    pub const fn kind(&self) -> ChangeKind {
        match (&self.before, &self.after) {
            (_, None) => ChangeKind::Deleted,
            (None, Some(_)) => ChangeKind::Created,
            (Some(_), Some(_)) => ChangeKind::Updated,
        }
    }

    /// Whether what the product is found by in a search differs, or may.
    pub fn changes_words(&self) -> bool {
        self.kind() != ChangeKind::Updated || self.words.as_ref().is_none_or(|words| words.before.is_some())
    }
}

/// A change and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductEvent {
    pub event_id: Uuid,
    pub time: OffsetDateTime,
    pub stamp: Stamp,
    pub change: Change,
}

/// "Whoever has processed this has processed every write acknowledged before `t`, and every write whose position,
/// read after its commit, is strictly below `h`."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The first moment at which the primary's clock showed this time, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub t: OffsetDateTime,
    pub h: Position,
}

impl Heartbeat {
    /// The subject and the payload of a heartbeat message.
    pub fn to_message(self, id: Uuid, stamp: Stamp) -> (&'static str, Vec<u8>) {
        (HEARTBEAT_SUBJECT, Envelope::new(id, HEARTBEAT_TYPE, None, self.t, stamp, self).to_json())
    }
}

/// Any message of the stream, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Product(Box<ProductEvent>),
    Heartbeat { id: Uuid, stamp: Stamp, heartbeat: Heartbeat },
}

/// Why a payload is no message of ours.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("not a CloudEvent of this catalogue")]
    Json(#[from] serde_json::Error),
    #[error("unknown event type {0:?}")]
    UnknownType(String),
    #[error("the event's type is {kind:?}, but its data says {says:?}")]
    Contradiction { kind: String, says: &'static str },
}

impl Message {
    /// Reads a payload.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let envelope: Envelope<Box<RawValue>> = serde_json::from_slice(payload)?;
        let (id, stamp) = (envelope.id, envelope.stamp());
        if envelope.kind == HEARTBEAT_TYPE {
            let heartbeat = serde_json::from_str(envelope.data.get())?;
            return Ok(Self::Heartbeat { id, stamp, heartbeat });
        }
        let Some(kind) = ChangeKind::ALL.into_iter().find(|kind| kind.event_type() == envelope.kind) else {
            return Err(DecodeError::UnknownType(envelope.kind));
        };
        let change: Change = serde_json::from_str(envelope.data.get())?;
        if change.kind() != kind {
            return Err(DecodeError::Contradiction { kind: envelope.kind, says: change.kind().word() });
        }
        Ok(Self::Product(Box::new(ProductEvent { event_id: id, time: envelope.time, stamp, change })))
    }

    pub fn id(&self) -> Uuid {
        match self {
            Self::Product(event) => event.event_id,
            Self::Heartbeat { id, .. } => *id,
        }
    }

    /// What the next message names as its previous one.
    pub fn link(&self) -> Uuid {
        self.stamp().link(self.id())
    }

    pub fn stamp(&self) -> Stamp {
        match self {
            Self::Product(event) => event.stamp,
            Self::Heartbeat { stamp, .. } => *stamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;
    use crate::Epoch;

    const LAMP: &str = r#"{"id":7,"sku":"LAMP-1","name":"Lamp","description":null,"brand":"Lumo","category":"lighting/lamps","image_url":null,"price":"19.99","currency":"USD","stock":4,"version":2,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06.5Z"}"#;

    fn stamp() -> Stamp {
        Stamp {
            epoch: Epoch(1_700_000_000_000),
            position: Position(0x16_B374_D848),
            previous: Some(Uuid::from_u128(1)),
        }
    }

    fn lamp_event() -> Envelope<Change> {
        let after: Product = serde_json::from_str(LAMP).expect("a product");
        let before = ListFields { price: "24.99".parse().expect("a price"), ..ListFields::from(&after) };
        let words = Some(Words { before: None, after: Some("1 lamp lumo".to_owned()) });
        let change = Change { id: after.id, version: after.version, before: Some(before), after: Some(after), words };
        let kind = change.kind().event_type();
        let time = datetime!(2026-01-02 03:04:06.5 UTC);
        Envelope::new(Uuid::from_u128(2), &kind, Some("7".to_owned()), time, stamp(), change)
    }

    #[test]
    fn the_wire_form_of_an_event_is_frozen() {
        let written: Value = serde_json::from_slice(&lamp_event().to_json()).expect("JSON");
        let expected = json!({
            "specversion": "1.0",
            "id": "00000000-0000-0000-0000-000000000002",
            "source": "/catalog/write",
            "type": "catalog.product.updated.v1",
            "subject": "7",
            "time": "2026-01-02T03:04:06.5Z",
            "datacontenttype": "application/json",
            "epoch": "1700000000000",
            "position": "16/B374D848",
            "previous": "00000000-0000-0000-0000-000000000001",
            "data": {
                "id": 7,
                "version": 2,
                "before": {
                    "sku": "LAMP-1", "name": "Lamp", "brand": "Lumo", "category": "lighting/lamps",
                    "price": "24.99", "currency": "USD", "stock": 4
                },
                "after": serde_json::from_str::<Value>(LAMP).expect("JSON"),
                "words": {"after": "1 lamp lumo"},
            },
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn an_event_is_read_back_whole() {
        let event = lamp_event();
        let read = Message::decode(&event.to_json()).expect("decodes");
        let expected = ProductEvent { event_id: event.id, time: event.time, stamp: stamp(), change: event.data };
        assert_eq!(read, Message::Product(Box::new(expected)));
    }

    #[test]
    fn the_wire_form_of_a_heartbeat_is_frozen() {
        let heartbeat = Heartbeat { t: datetime!(2026-01-02 03:04:05.123456 UTC), h: Position(255) };
        let (subject, payload) = heartbeat.to_message(Uuid::from_u128(3), stamp());
        assert_eq!(subject, "catalog.heartbeat");
        let written: Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(written["type"], "catalog.heartbeat.v1");
        assert_eq!(written["data"], json!({"t": "2026-01-02T03:04:05.123456Z", "h": "0/FF"}));
        let read = Message::decode(&payload).expect("decodes");
        assert_eq!(read, Message::Heartbeat { id: Uuid::from_u128(3), stamp: stamp(), heartbeat });
    }

    #[test]
    fn the_body_of_a_product_is_the_same_bytes_in_events_and_answers() {
        let product: Product = serde_json::from_str(LAMP).expect("a product");
        assert_eq!(String::from_utf8(product.to_json()).expect("UTF-8"), LAMP);
    }

    #[test]
    fn what_is_no_message_of_ours_is_refused_with_the_reason() {
        let mut event: Value = serde_json::from_slice(&lamp_event().to_json()).expect("JSON");
        event["type"] = json!("catalog.product.deleted.v1");
        let refusal = |payload: &[u8]| Message::decode(payload).expect_err("no message").to_string();
        assert_eq!(
            refusal(event.to_string().as_bytes()),
            "the event's type is \"catalog.product.deleted.v1\", but its data says \"updated\""
        );
        event["type"] = json!("other.v1");
        assert_eq!(refusal(event.to_string().as_bytes()), "unknown event type \"other.v1\"");
        assert_eq!(refusal(b"{}"), "not a CloudEvent of this catalogue");
    }
}
