//! Pages in this process, each checked against the log when it is asked for.
//!
//! Architecture invariant: a page is served only after everything that was heard since it was last served, or since it was
//! read, was tested against it. So it lives exactly as long as nothing could have changed it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use events::Position;
use freshness::{Mark, Rejection, Tail};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::extent::{Effect, Extent};
use super::glance::Sieve;
use super::page::Page;
use crate::log::Passed;

/// Beginning of the digest of a query: two queries share it once in 2^128 times.
pub(crate) type PageKey = [u8; 16];

/// What a page takes beside its body: its query, headers, counters and the cache's own record of it.
const PAGE_BYTES: u64 = 1_200;
/// What a row takes beside its body: its place in the list, its version and where it stands in the body.
const ROW_BYTES: u64 = 120;
/// A usual page, for the first guess at how many there will be room for.
const PAGE_BYTES_TYPICAL: u64 = 16_000;

/// Pages bounded by their bytes, and so in number; the least used go first.
#[derive(Debug)]
pub(super) struct KeptPages {
    /// `None` if there is no room for any.
    slots: Option<Cache<PageKey, Arc<Slot>, ByBytes>>,
}

/// A page, and how far it was tested.
#[derive(Debug)]
pub(super) struct Slot {
    page: Arc<Page>,
    sieve: Sieve,
    /// Whatever the snapshot showed is below.
    read_by: Position,
    tested: Mutex<Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    to: Mark,
    /// Whether the log has shown all of what the snapshot held.
    is_settled: bool,
}

/// What is kept for a query.
pub(super) enum Lookup {
    Stands(Arc<Page>),
    /// Products come, go or move by changes after the last heartbeat. What is between two heartbeats need not be what the
    /// database ever showed: a part of a transaction may be heard, or a later one before an earlier.
    Unsettled,
    /// Something was heard that may have moved the list, or too much to know.
    Moved,
    Missing,
}

/// What became of a page by what was heard.
enum Tested {
    Stands,
    /// Other products stand in it now, or others of their versions.
    Followed(Slot),
    /// As far as the last heartbeat; the slot, if there is one, is the page there.
    Unsettled(Option<Slot>),
    Moved,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<PageKey, Arc<Slot>> for ByBytes {
    fn weight(&self, _: &PageKey, slot: &Arc<Slot>) -> u64 {
        let Page { extent, body, .. } = &*slot.page;
        let spare: usize = extent.rows.iter().skip(extent.query.limit as usize).map(|row| row.body.len()).sum();
        PAGE_BYTES + ROW_BYTES * extent.rows.len() as u64 + (body.len() + spare) as u64
    }
}

impl KeptPages {
    /// Room for `bytes_max`; 0 keeps nothing.
    pub(super) fn new(bytes_max: u64) -> Self {
        let items = usize::try_from(bytes_max / PAGE_BYTES_TYPICAL).unwrap_or(usize::MAX).max(1);
        Self { slots: (bytes_max > 0).then(|| Cache::with_weighter(items, bytes_max, ByBytes)) }
    }

    pub(super) const fn is_used(&self) -> bool {
        self.slots.is_some()
    }

    /// What is kept, tested against all that was heard.
    pub(super) fn get(&self, key: PageKey, tail: &Tail<Passed>) -> Lookup {
        let Some(slot) = self.slots.as_ref().and_then(|slots| slots.get(&key)) else { return Lookup::Missing };
        let lookup = self.stand(key, &slot, tail);
        if matches!(lookup, Lookup::Moved) {
            self.forget(key, &slot);
        }
        lookup
    }

    /// What is kept and stands.
    pub(super) fn look(&self, key: PageKey, tail: &Tail<Passed>) -> Option<Arc<Page>> {
        let slot = self.slots.as_ref()?.get(&key)?;
        match self.stand(key, &slot, tail) {
            Lookup::Stands(page) => Some(page),
            _ => None,
        }
    }

    /// The page as it stands after all that was heard.
    pub(super) fn stand(&self, key: PageKey, slot: &Arc<Slot>, tail: &Tail<Passed>) -> Lookup {
        // A new slot takes the place of the old one, so that its bytes are counted anew.
        match slot.test(tail) {
            Tested::Stands => Lookup::Stands(Arc::clone(&slot.page)),
            Tested::Followed(slot) => {
                let slot = Arc::new(slot);
                self.keep(key, &slot);
                Lookup::Stands(Arc::clone(&slot.page))
            }
            Tested::Unsettled(slot) => {
                if let Some(slot) = slot {
                    self.keep(key, &Arc::new(slot));
                }
                Lookup::Unsettled
            }
            Tested::Moved => Lookup::Moved,
        }
    }

    /// Keeps a page; whether there is room for any.
    pub(super) fn keep(&self, key: PageKey, slot: &Arc<Slot>) -> bool {
        if let Some(slots) = &self.slots {
            slots.insert(key, Arc::clone(slot));
        }
        self.is_used()
    }

    /// Pages that are kept.
    pub(super) fn entries(&self) -> usize {
        self.slots.as_ref().map_or(0, Cache::len)
    }

    /// Bytes that are used.
    pub(super) fn bytes(&self) -> u64 {
        self.slots.as_ref().map_or(0, Cache::weight)
    }

    /// Unless another one has taken its place.
    fn forget(&self, key: PageKey, moved: &Arc<Slot>) {
        if let Some(slots) = &self.slots {
            slots.remove_if(&key, |slot| Arc::ptr_eq(slot, moved));
        }
    }
}

impl Slot {
    /// A page that was read at `read_at` and admitted by the log when everything before `admitted` had been heard, if
    /// nothing that it may lack has moved it.
    ///
    /// `read_by` was read after it.
    pub(super) fn admitted(
        page: Page,
        (read_at, read_by): (Position, Position),
        admitted: Mark,
        tail: &Tail<Passed>,
    ) -> Result<Self, Rejection> {
        let to = tail.mark_of(read_at, admitted).ok_or(Rejection::BeforeStart)?;
        let sieve = Sieve::of(&page.extent);
        let slot =
            Self { page: Arc::new(page), sieve, read_by, tested: Mutex::new(Progress { to, is_settled: false }) };
        match slot.test(tail) {
            Tested::Stands | Tested::Unsettled(None) => Ok(slot),
            Tested::Followed(slot) | Tested::Unsettled(Some(slot)) => Ok(slot),
            Tested::Moved => Err(Rejection::Overtaken),
        }
    }

    /// Tests whatever was heard since the last time: up to the last heartbeat, where everything is as the database once
    /// showed it, and then what only changes bodies.
    fn test(&self, tail: &Tail<Passed>) -> Tested {
        let mut tested = self.tested.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = tail.since(tested.to) else { return Tested::Moved };
        let is_heartbeat = |(_, passed): &(Mark, &Passed)| matches!(passed, Passed::Heartbeat(_));
        let cut = since.clone().rev().find(is_heartbeat).map(|(mark, _)| mark);
        let mut progress = *tested;
        let mut extent = Cow::Borrowed(&self.page.extent);
        let mut sieve = self.sieve;
        let mut is_past_cut = cut.is_none();
        for (mark, passed) in since {
            match passed {
                Passed::Change { glance, .. } if !sieve.lets_through(glance) => {}
                Passed::Change { event, is_outdated, .. } => {
                    match extent.effect_of(&event.change, progress.is_settled) {
                        Effect::None => {}
                        // A product must not come in, or be shown, as it was before this node last answered it.
                        Effect::Rows { to: Some(_), .. } if *is_outdated => return Tested::Moved,
                        Effect::Rows { from, to } => {
                            if is_past_cut && !extent.is_body(from, to.as_ref()) {
                                let slot = self.followed(extent, progress);
                                if slot.is_none() {
                                    *tested = progress;
                                }
                                return Tested::Unsettled(slot);
                            }
                            if !extent.to_mut().follow(&event.change, from, to) {
                                return Tested::Moved;
                            }
                            sieve = Sieve::of(&extent);
                        }
                        Effect::Lost => return Tested::Moved,
                    }
                }
                Passed::Heartbeat(h) => progress.is_settled |= *h > self.read_by,
                Passed::Answered(id, version) => {
                    if extent.rows.iter().any(|row| row.place.id == *id && row.version < *version) {
                        return Tested::Moved;
                    }
                }
            }
            progress.to = mark;
            is_past_cut |= cut == Some(mark);
        }
        if let Some(slot) = self.followed(extent, progress) {
            return Tested::Followed(slot);
        }
        *tested = progress;
        Tested::Stands
    }

    /// The slot of a stretch that has become another.
    fn followed(&self, extent: Cow<'_, Extent>, progress: Progress) -> Option<Self> {
        let Cow::Owned(extent) = extent else { return None };
        let page = Arc::new(Page::of(self.page.epoch, extent));
        let sieve = Sieve::of(&page.extent);
        Some(Self { page, sieve, read_by: self.read_by, tested: Mutex::new(progress) })
    }
}

#[cfg(test)]
mod tests {
    use catalog::{Currency, ListFields, Product, ProductId, Version};
    use events::{Change, Epoch, ProductEvent, Stamp};
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;
    use crate::pages::{Found, Glance, Listing, PageQuery};

    const KEY: PageKey = [7; 16];

    fn lamp(version: i64, price: &str) -> Product {
        let json = format!(
            r#"{{"id":7,"sku":"LAMP-1","name":"Lamp","description":null,"brand":null,"category":null,"image_url":null,
            "price":"{price}","currency":"USD","stock":4,"version":{version},"created_at":"2026-01-02T03:04:05Z",
            "updated_at":"2026-01-02T03:04:05Z"}}"#
        );
        serde_json::from_str(&json).expect("a product")
    }

    /// The products of up to 5 USD.
    fn cheap(found: Vec<Product>) -> Page {
        let query = PageQuery::list(vec![("max_price".to_owned(), "5".to_owned())], Currency::default());
        let found = found.into_iter().map(|product| Found { product, rank: 0.0 }).collect();
        Page::new(Epoch(1), Arc::new(query.expect("valid")), Listing { stage: None, found, read_by: Position(5) })
    }

    /// A tail that has heard of these, each at the position of its version.
    fn tail(changes: &[(Product, Product)]) -> Tail<Passed> {
        let mut tail = Tail::new(1 << 20);
        for (before, after) in changes {
            hear(&mut tail, before, after);
        }
        tail
    }

    fn body(pages: &KeptPages, tail: &Tail<Passed>) -> Option<bytes::Bytes> {
        match pages.get(KEY, tail) {
            Lookup::Stands(page) => Some(page.body.clone()),
            Lookup::Unsettled | Lookup::Moved | Lookup::Missing => None,
        }
    }

    fn beat(tail: &mut Tail<Passed>, h: u64) {
        tail.push(0, Some(Position(h)), Passed::Heartbeat(Position(h)), 10);
    }

    fn hear(tail: &mut Tail<Passed>, before: &Product, after: &Product) {
        hear_as(tail, before, after, false);
    }

    fn hear_outdated(tail: &mut Tail<Passed>, before: &Product, after: &Product) {
        hear_as(tail, before, after, true);
    }

    fn hear_as(tail: &mut Tail<Passed>, before: &Product, after: &Product, is_outdated: bool) {
        let position = Position(after.version.get().unsigned_abs() * 10);
        let stamp = Stamp { epoch: Epoch(1), position, previous: None };
        let change = Change {
            id: after.id,
            version: after.version,
            before: Some(ListFields::from(before)),
            after: Some(after.clone()),
            words: None,
        };
        let event = ProductEvent { event_id: Uuid::nil(), time: OffsetDateTime::UNIX_EPOCH, stamp, change };
        tail.push(
            0,
            Some(position),
            Passed::Change { glance: Glance::of(&event.change), event: Arc::new(event), is_outdated },
            100,
        );
    }

    fn admitted(page: Page, read_at: u64, tail: &Tail<Passed>) -> Result<Slot, Rejection> {
        Slot::admitted(page, (Position(read_at), Position(read_at)), tail.end(), tail)
    }

    #[test]
    fn what_a_lagging_database_gives_is_refused_if_it_lacks_what_moves_the_list() {
        let tail = tail(&[(lamp(1, "9.00"), lamp(2, "3.00"))]);
        assert_eq!(admitted(cheap(vec![]), 20, &tail).err(), Some(Rejection::Overtaken));
        assert_eq!(admitted(cheap(vec![lamp(1, "3.00")]), 21, &tail).map(|slot| slot.page.body.len() > 50), Ok(true));
        assert!(admitted(cheap(vec![lamp(2, "3.00")]), 20, &tail).is_ok(), "it shows the change itself");
    }

    #[test]
    fn what_it_lacks_of_bodies_alone_is_put_in() {
        let tail = tail(&[(lamp(1, "3.00"), lamp(2, "4.00"))]);
        let slot = admitted(cheap(vec![lamp(1, "3.00")]), 20, &tail).expect("it stands");
        assert!(String::from_utf8_lossy(&slot.page.body).contains(r#""price":"4.00""#));
        assert_eq!(slot.page.extent.rows[0].version, Version::try_from(2).expect("a version"));
    }

    #[test]
    fn what_comes_in_is_believed_only_after_the_log_has_shown_all_that_the_page_may_hold() {
        let pages = KeptPages::new(1 << 20);
        let mut tail = tail(&[]);
        let page = Slot::admitted(cheap(vec![lamp(1, "3.00")]), (Position(5), Position(99)), tail.end(), &tail);
        pages.keep(KEY, &Arc::new(page.expect("it stands")));
        let first = body(&pages, &tail).expect("it stands");
        hear(&mut tail, &lamp(1, "3.00"), &lamp(2, "4.00"));
        let second = body(&pages, &tail).expect("it stands");
        assert!(first != second && second == body(&pages, &tail).expect("it still stands"));
        hear(&mut tail, &lamp(2, "4.00"), &lamp(3, "6.00"));
        beat(&mut tail, 35);
        let empty = body(&pages, &tail).expect("it is known to be empty");
        // The page may be of a moment after this: then it has gone again, and only the log does not say so yet.
        hear(&mut tail, &lamp(3, "6.00"), &lamp(4, "5.00"));
        assert!(matches!(pages.get(KEY, &tail), Lookup::Moved));
        assert!(matches!(pages.get(KEY, &tail), Lookup::Missing));

        pages.keep(KEY, &Arc::new(admitted(cheap(vec![]), 45, &tail).expect("it stands")));
        beat(&mut tail, 46);
        hear(&mut tail, &lamp(4, "6.00"), &lamp(5, "5.00"));
        beat(&mut tail, 55);
        assert_ne!(body(&pages, &tail).expect("it has come in"), empty);
    }

    #[test]
    fn what_comes_or_goes_after_the_last_heartbeat_is_waited_for_and_bodies_are_not() {
        let pages = KeptPages::new(1 << 20);
        let mut tail = tail(&[]);
        pages.keep(KEY, &Arc::new(admitted(cheap(vec![lamp(1, "3.00")]), 5, &tail).expect("it stands")));
        beat(&mut tail, 15);
        hear(&mut tail, &lamp(1, "3.00"), &lamp(2, "4.00"));
        let changed = body(&pages, &tail).expect("it stands");
        hear(&mut tail, &lamp(2, "4.00"), &lamp(3, "6.00"));
        for _ in 0..2 {
            assert!(matches!(pages.get(KEY, &tail), Lookup::Unsettled));
        }
        beat(&mut tail, 35);
        assert_ne!(body(&pages, &tail).expect("it is known to be empty"), changed);
    }

    #[test]
    fn a_product_does_not_come_in_as_it_was_before_this_node_answered_it() {
        let pages = KeptPages::new(1 << 20);
        let mut tail = tail(&[]);
        pages.keep(KEY, &Arc::new(admitted(cheap(vec![]), 5, &tail).expect("it stands")));
        beat(&mut tail, 15);
        hear_outdated(&mut tail, &lamp(1, "6.00"), &lamp(2, "4.00"));
        beat(&mut tail, 25);
        assert!(matches!(pages.get(KEY, &tail), Lookup::Moved));
    }

    #[test]
    fn an_answer_ahead_of_the_log_ends_a_page_that_shows_the_product_older() {
        let mut tail = tail(&[]);
        let slot = admitted(cheap(vec![lamp(2, "3.00")]), 5, &tail).expect("it stands");
        let answered = |version: i64| {
            let version = Version::try_from(version).expect("a version");
            Passed::Answered(ProductId::try_from(7).expect("positive"), version)
        };
        tail.push(0, None, answered(2), 10);
        assert!(matches!(slot.test(&tail), Tested::Stands));
        tail.push(0, None, answered(3), 10);
        assert!(matches!(slot.test(&tail), Tested::Moved));
    }

    #[test]
    fn pages_stay_within_their_bytes() {
        let pages = KeptPages::new(50_000);
        let tail = tail(&[]);
        for number in 0..100 {
            pages.keep([number; 16], &Arc::new(admitted(cheap(vec![lamp(1, "3.00")]), 5, &tail).expect("it stands")));
        }
        assert!(pages.bytes() <= 50_000 && pages.entries() > 10, "{} {}", pages.bytes(), pages.entries());
        assert!(!KeptPages::new(0).is_used());
    }
}
