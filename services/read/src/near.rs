//! The near cache: products in this process, kept up with every event, answered without a look at anything else.
//!
//! Architecture invariant: every decision is one of [`freshness::Kept`], which the model checks too, and is taken under
//! the lock of the product's entry.

use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;
use cache::{Content, Entry};
use catalog::{ProductId, Version};
use events::ProductEvent;
use freshness::{Kept, Provenance, Rejection};
use quick_cache::Weighter;
use quick_cache::sync::{Cache, EntryAction, EntryResult};

use crate::http::etag_of;

/// What an entry costs beside its body: key, versions, tag, counters and the cache's own record of it.
const ENTRY_BYTES: u64 = 280;
/// A product's body, for the first guess at how many entries there will be room for.
const BODY_BYTES_TYPICAL: u64 = 800;

/// Entries bounded by their bytes; the least used go first.
#[derive(Debug)]
pub(crate) struct Near {
    /// `None` if there is no room for any.
    entries: Option<Cache<ProductId, Held, ByBytes>>,
}

#[derive(Clone, Debug)]
struct Held {
    kept: Kept,
    near: Arc<NearEntry>,
}

/// An entry, and what each of its answers says in the same words.
#[derive(Debug)]
pub(crate) struct NearEntry {
    pub(crate) entry: Entry,
    pub(crate) etag: HeaderValue,
}

impl From<Entry> for NearEntry {
    fn from(entry: Entry) -> Self {
        Self { etag: etag_of(entry.version), entry }
    }
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<ProductId, Held> for ByBytes {
    fn weight(&self, _: &ProductId, held: &Held) -> u64 {
        ENTRY_BYTES
            + match &held.near.entry.content {
                Content::Product(body) => body.len() as u64,
                Content::Absent => 0,
            }
    }
}

impl Near {
    /// Room for `bytes_max`; 0 keeps nothing.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let items = usize::try_from(bytes_max / (ENTRY_BYTES + BODY_BYTES_TYPICAL)).unwrap_or(usize::MAX).max(1);
        Self { entries: (bytes_max > 0).then(|| Cache::with_weighter(items, bytes_max, ByBytes)) }
    }

    pub(crate) const fn is_used(&self) -> bool {
        self.entries.is_some()
    }

    /// What is kept of a product, if the present generation of the log vouches for it.
    pub(crate) fn get(&self, id: ProductId, generation: u64) -> Option<Arc<NearEntry>> {
        self.entries.as_ref()?.get(&id).filter(|held| held.kept.is_served_in(generation)).map(|held| held.near)
    }

    /// Keeps an entry unless a newer one is kept; whether the one or the other is.
    ///
    /// `admit` is asked under the entry's own lock, so that no hit falls between the look and the insertion: an event that
    /// comes later waits for that lock and then brings the entry up to date.
    pub(crate) fn keep(&self, id: ProductId, entry: &Entry, admit: impl Fn() -> Result<Kept, Rejection>) -> bool {
        let Some(entries) = &self.entries else { return false };
        let held_as = |kept| Held { kept, near: Arc::new(entry.clone().into()) };
        let result = entries.entry(&id, None, |_, held| {
            let Ok(kept) = admit() else { return EntryAction::Retain(false) };
            if held.kept.gives_way_to(kept) {
                *held = held_as(kept);
            }
            EntryAction::Retain(true)
        });
        match result {
            EntryResult::Retained(is_kept) => is_kept,
            EntryResult::Vacant(room) => admit().is_ok_and(|kept| room.insert(held_as(kept)).is_ok()),
            _ => false,
        }
    }

    /// Takes out what is older than a floor that was raised already.
    pub(crate) fn forget_below(&self, id: ProductId, floor: Version) {
        let Some(entries) = &self.entries else { return };
        // Not a mere removal: this waits for whoever is just keeping the product and may have looked at the floor before.
        entries.entry(
            &id,
            None,
            |_, held| {
                if held.kept.is_below(floor) { EntryAction::Remove } else { EntryAction::Retain(()) }
            },
        );
    }

    /// Brings a kept entry up to date with an event whose floor was raised already; keeps nothing new.
    pub(crate) fn follow(&self, event: &ProductEvent, generation: u64) {
        let Some(entries) = &self.entries else { return };
        let stamp = &event.stamp;
        let after = Provenance { epoch: stamp.epoch, version: event.change.version, read_at: stamp.position };
        // Not a mere look: this waits for whoever is just keeping the product, and gives up an empty place again.
        entries.entry(&event.change.id, None, |_, held| {
            if let Some(kept) = held.kept.followed_by(after, generation) {
                *held = Held { kept, near: Arc::new(entry_after(event).into()) };
            }
            EntryAction::Retain(())
        });
    }

    /// Products that are kept.
    pub(crate) fn entries(&self) -> usize {
        self.entries.as_ref().map_or(0, Cache::len)
    }

    /// Bytes that are used.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.as_ref().map_or(0, Cache::weight)
    }
}

/// What an event says of its product.
fn entry_after(event: &ProductEvent) -> Entry {
    let after = event.change.after.as_ref();
    Entry {
        epoch: event.stamp.epoch,
        version: event.change.version,
        read_at: event.stamp.position,
        content: after.map_or(Content::Absent, |after| Content::Product(Bytes::from(after.to_json()))),
    }
}

#[cfg(test)]
mod tests {
    use events::{Epoch, Position};

    use super::*;

    fn id(id: i64) -> ProductId {
        id.try_into().expect("positive")
    }

    fn entry(version: i64) -> Entry {
        let version = version.try_into().expect("not negative");
        let content = Content::Product(Bytes::from(vec![b'x'; 800]));
        Entry { epoch: Epoch(1), version, read_at: Position(1), content }
    }

    /// Admitted in this generation.
    fn keep(near: &Near, product: i64, at: i64, generation: u64) -> bool {
        let entry = entry(at);
        near.keep(id(product), &entry, || Ok(kept(&entry, generation)))
    }

    fn kept(entry: &Entry, generation: u64) -> Kept {
        let provenance = Provenance { epoch: entry.epoch, version: entry.version, read_at: entry.read_at };
        Kept { provenance, generation }
    }

    fn version(near: &Near, generation: u64) -> Option<i64> {
        near.get(id(1), generation).map(|near| near.entry.version.get())
    }

    #[test]
    fn an_entry_is_served_only_in_the_generation_that_admitted_it() {
        let near = Near::new(1 << 20);
        keep(&near, 1, 3, 7);
        assert_eq!((version(&near, 7), version(&near, 8)), (Some(3), None));
        keep(&near, 1, 2, 8);
        assert_eq!((version(&near, 7), version(&near, 8)), (None, Some(2)));
    }

    #[test]
    fn an_older_fill_does_not_replace_what_an_event_has_brought_up_to_date() {
        let near = Near::new(1 << 20);
        keep(&near, 1, 5, 7);
        assert!(keep(&near, 1, 4, 7), "a newer one is");
        assert_eq!(version(&near, 7), Some(5));
        near.forget_below(id(1), 5.try_into().expect("a version"));
        assert_eq!(version(&near, 7), Some(5));
        near.forget_below(id(1), 6.try_into().expect("a version"));
        assert_eq!(version(&near, 7), None);
    }

    #[test]
    fn what_is_not_admitted_any_more_is_not_kept() {
        let near = Near::new(1 << 20);
        let refuse = || Err(Rejection::BelowFloor);
        assert!(!near.keep(id(1), &entry(3), refuse));
        assert!(keep(&near, 1, 4, 7));
        assert!(!near.keep(id(1), &entry(5), refuse));
        assert_eq!(version(&near, 7), Some(4));
    }

    #[test]
    fn an_entry_that_is_just_being_kept_does_not_escape_a_floor_that_is_raised_meanwhile() {
        let near = Near::new(1 << 20);
        std::thread::scope(|scope| {
            let (done, is_done) = std::sync::mpsc::channel();
            let entry = entry(4);
            // The floor was looked at, and then another answer raised it; whether it waits for the entry shows here.
            let admit = || {
                let (near, done) = (&near, done.clone());
                scope.spawn(move || {
                    near.forget_below(id(1), 5.try_into().expect("a version"));
                    let _ = done.send(());
                });
                let _ = is_done.recv_timeout(std::time::Duration::from_millis(200));
                Ok(kept(&entry, 7))
            };
            near.keep(id(1), &entry, admit);
        });
        assert_eq!(version(&near, 7), None);
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let near = Near::new(100_000);
        for number in 1..=1_000 {
            keep(&near, number, 1, 1);
        }
        assert!(near.bytes() <= 100_000 && near.bytes() > 50_000, "{}", near.bytes());
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let near = Near::new(0);
        assert!(!keep(&near, 1, 1, 1));
        assert_eq!(version(&near, 1), None);
    }
}
