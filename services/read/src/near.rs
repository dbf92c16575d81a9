//! The near cache: products in this process, kept up with every event, answered without a look at anything else.
//!
//! Architecture invariant: an entry is kept only together with the generation of the log that admitted it, and served
//! only in that generation. Within one, every event that follows is applied to it in place, floor first, so it is never
//! older than the floor. A gap or a new epoch begins another generation: what was kept before is not served again.

use std::sync::Arc;

use bytes::Bytes;
use cache::{Content, Entry};
use catalog::{ProductId, Version};
use events::ProductEvent;
use quick_cache::Weighter;
use quick_cache::sync::{Cache, EntryAction, EntryResult};

/// What an entry costs beside its body: key, versions, counters and the cache's own record of it.
const ENTRY_BYTES: u64 = 200;
/// A product's body, for the first guess at how many entries there will be room for.
const BODY_BYTES_TYPICAL: u64 = 800;

/// Entries bounded by their bytes; the least used go first.
#[derive(Debug)]
pub(crate) struct Near {
    /// `None` if there is no room for any.
    entries: Option<Cache<ProductId, Kept, ByBytes>>,
}

#[derive(Clone, Debug)]
struct Kept {
    generation: u64,
    entry: Arc<Entry>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<ProductId, Kept> for ByBytes {
    fn weight(&self, _: &ProductId, kept: &Kept) -> u64 {
        ENTRY_BYTES
            + match &kept.entry.content {
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
    pub(crate) fn get(&self, id: ProductId, generation: u64) -> Option<Arc<Entry>> {
        self.entries.as_ref()?.get(&id).filter(|kept| kept.generation == generation).map(|kept| kept.entry)
    }

    /// Keeps an entry that was admitted in `generation`, unless a newer one is kept; whether it is.
    ///
    /// `floor` is asked under the entry's own lock, so that no hit falls between the insertion and the look: an event that
    /// comes later waits for that lock and then brings the entry up to date.
    pub(crate) fn keep(&self, id: ProductId, entry: &Entry, generation: u64, floor: impl Fn() -> Version) -> bool {
        let Some(entries) = &self.entries else { return false };
        let new = Kept { generation, entry: Arc::new(entry.clone()) };
        let result = entries.entry(&id, None, |_, kept| {
            let is_admitted = entry.version >= floor();
            if is_admitted && new.replaces(kept) {
                *kept = new.clone();
            }
            EntryAction::Retain(is_admitted)
        });
        match result {
            EntryResult::Retained(is_admitted) => is_admitted,
            EntryResult::Vacant(room) if entry.version >= floor() => room.insert(new).is_ok(),
            _ => false,
        }
    }

    /// Takes out what is older than a floor that was raised already.
    pub(crate) fn forget_below(&self, id: ProductId, floor: Version) {
        let Some(entries) = &self.entries else { return };
        // Not a mere removal: this waits for whoever is just keeping the product and may have looked at the floor before.
        entries.entry(&id, None, |_, kept| {
            if kept.entry.version < floor { EntryAction::Remove } else { EntryAction::Retain(()) }
        });
    }

    /// Brings a kept entry up to date with an event whose floor was raised already; keeps nothing new.
    pub(crate) fn follow(&self, event: &ProductEvent, generation: u64) {
        let Some(entries) = &self.entries else { return };
        let change = &event.change;
        // Not a mere look: this waits for whoever is just keeping the product, and gives up an empty place again.
        entries.entry(&change.id, None, |_, kept| {
            if kept.generation == generation && kept.entry.version < change.version {
                *kept = Kept { generation, entry: Arc::new(entry_after(event)) };
            }
            EntryAction::Retain(())
        });
    }

    /// Bytes that are used.
    pub(crate) fn bytes(&self) -> u64 {
        self.entries.as_ref().map_or(0, Cache::weight)
    }
}

impl Kept {
    fn replaces(&self, kept: &Self) -> bool {
        kept.generation < self.generation
            || kept.generation == self.generation && kept.entry.version < self.entry.version
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

    /// No floor.
    fn none() -> Version {
        Version::ABSENT
    }

    fn version(near: &Near, generation: u64) -> Option<i64> {
        near.get(id(1), generation).map(|entry| entry.version.get())
    }

    #[test]
    fn an_entry_is_served_only_in_the_generation_that_admitted_it() {
        let near = Near::new(1 << 20);
        near.keep(id(1), &entry(3), 7, none);
        assert_eq!((version(&near, 7), version(&near, 8)), (Some(3), None));
        near.keep(id(1), &entry(2), 8, none);
        assert_eq!((version(&near, 7), version(&near, 8)), (None, Some(2)));
    }

    #[test]
    fn an_older_fill_does_not_replace_what_an_event_has_brought_up_to_date() {
        let near = Near::new(1 << 20);
        near.keep(id(1), &entry(5), 7, none);
        near.keep(id(1), &entry(4), 7, none);
        assert_eq!(version(&near, 7), Some(5));
        near.forget_below(id(1), 5.try_into().expect("a version"));
        assert_eq!(version(&near, 7), Some(5));
        near.forget_below(id(1), 6.try_into().expect("a version"));
        assert_eq!(version(&near, 7), None);
    }

    #[test]
    fn what_is_below_the_floor_by_now_is_not_kept() {
        let near = Near::new(1 << 20);
        let floor = || 4.try_into().expect("a version");
        assert!(!near.keep(id(1), &entry(3), 7, floor));
        assert!(near.keep(id(1), &entry(4), 7, floor));
        assert!(!near.keep(id(1), &entry(3), 7, floor));
        assert_eq!(version(&near, 7), Some(4));
    }

    #[test]
    fn an_entry_that_is_just_being_kept_does_not_escape_a_floor_that_is_raised_meanwhile() {
        let near = Near::new(1 << 20);
        std::thread::scope(|scope| {
            let (done, is_done) = std::sync::mpsc::channel();
            // The floor was looked at, and then another answer raised it; whether it waits for the entry shows here.
            let floor = || {
                let (near, done) = (&near, done.clone());
                scope.spawn(move || {
                    near.forget_below(id(1), 5.try_into().expect("a version"));
                    let _ = done.send(());
                });
                let _ = is_done.recv_timeout(std::time::Duration::from_millis(200));
                Version::ABSENT
            };
            near.keep(id(1), &entry(4), 7, floor);
        });
        assert_eq!(version(&near, 7), None);
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let near = Near::new(100_000);
        for number in 1..=1_000 {
            near.keep(id(number), &entry(1), 1, none);
        }
        assert!(near.bytes() <= 100_000 && near.bytes() > 50_000, "{}", near.bytes());
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let near = Near::new(0);
        assert!(!near.keep(id(1), &entry(1), 1, none));
        assert_eq!(version(&near, 1), None);
    }
}
