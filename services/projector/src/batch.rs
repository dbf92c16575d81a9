//! The messages in hand, and what they come to: one entry per product.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;

use async_nats::jetstream::Message;
use cache::{Content, Entry};
use catalog::ProductId;
use events::ProductEvent;
use tokio::time::Instant;

use crate::dead_letters::Undecodable;

/// Messages that were fetched and not answered yet.
pub(crate) struct Batch {
    pub(crate) events: Vec<(Message, ProductEvent)>,
    pub(crate) undecodable: Vec<(Message, Undecodable)>,
    /// Since when the server counts the time in which they are to be answered.
    pub(crate) kept_alive: Instant,
}

impl Batch {
    /// `asked` is when the messages were asked for, before any was delivered.
    pub(crate) fn new(messages: Vec<Message>, asked: Instant) -> Self {
        let mut batch = Self { events: Vec::new(), undecodable: Vec::new(), kept_alive: asked };
        for message in messages {
            match decode(&message.payload) {
                Ok(event) => batch.events.push((message, event)),
                Err(reason) => batch.undecodable.push((message, reason)),
            }
        }
        batch
    }

    pub(crate) fn len(&self) -> usize {
        self.events.len() + self.undecodable.len()
    }

    pub(crate) fn entries(&self) -> Vec<(ProductId, Entry)> {
        newest(self.events.iter().map(|(_, event)| event))
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        let events = self.events.iter().map(|(message, _)| message);
        events.chain(self.undecodable.iter().map(|(message, _)| message))
    }
}

fn decode(payload: &[u8]) -> Result<ProductEvent, Undecodable> {
    match events::Message::decode(payload)? {
        events::Message::Product(event) => Ok(*event),
        events::Message::Heartbeat { .. } => Err(Undecodable::Misplaced),
    }
}

/// The entry of the newest event of each product, by what the script in Redis compares too.
pub(crate) fn newest<'a>(events: impl Iterator<Item = &'a ProductEvent>) -> Vec<(ProductId, Entry)> {
    let order = |event: &ProductEvent| (event.stamp.epoch, event.change.version, event.stamp.position);
    let mut newest = HashMap::new();
    for event in events {
        match newest.entry(event.change.id) {
            Slot::Vacant(slot) => {
                slot.insert(event);
            }
            Slot::Occupied(mut slot) if order(event) > order(slot.get()) => {
                slot.insert(event);
            }
            Slot::Occupied(_) => {}
        }
    }
    newest.into_iter().map(|(id, event)| (id, entry(event))).collect()
}

fn entry(event: &ProductEvent) -> Entry {
    let content = event.change.after.as_ref().map_or(Content::Absent, |after| Content::Product(after.to_json().into()));
    Entry { epoch: event.stamp.epoch, version: event.change.version, read_at: event.stamp.position, content }
}

#[cfg(test)]
mod tests {
    use catalog::Version;
    use events::{Change, Epoch, Position, Stamp};
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    fn deleted(id: i64, epoch: u64, version: i64, position: u64) -> ProductEvent {
        let (id, version) = (id.try_into().expect("positive"), version.try_into().expect("not negative"));
        ProductEvent {
            event_id: Uuid::from_u128(1),
            time: OffsetDateTime::UNIX_EPOCH,
            stamp: Stamp { epoch: Epoch(epoch), position: Position(position), previous: None },
            change: Change { id, version, before: None, after: None, words: None },
        }
    }

    fn absent(epoch: u64, version: Version, position: u64) -> Entry {
        Entry { epoch: Epoch(epoch), version, read_at: Position(position), content: Content::Absent }
    }

    #[test]
    fn the_newest_epoch_then_version_then_position_wins_in_any_order() {
        let ascending = [deleted(1, 5, 9, 90), deleted(1, 6, 2, 10), deleted(1, 6, 3, 20), deleted(1, 6, 3, 30)];
        let expected = vec![(ascending[0].change.id, absent(6, ascending[3].change.version, 30))];
        assert_eq!(newest(ascending.iter()), expected);
        assert_eq!(newest(ascending.iter().rev()), expected);
    }

    #[test]
    fn every_product_has_its_own_entry() {
        let events = [deleted(1, 5, 1, 10), deleted(2, 5, 1, 20), deleted(1, 5, 2, 30)];
        assert_eq!(newest(events.iter()).len(), 2);
    }
}
