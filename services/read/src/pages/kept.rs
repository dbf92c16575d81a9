//! Pages in this process, each checked against the log when it is asked for.
//!
//! Architecture invariant: a page is served only after everything that was heard since it was last served, or since it was
//! read, was tested against it. So it lives exactly as long as nothing could have changed it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cache::PageKey;
use catalog::{ProductId, Version};
use events::Position;
use freshness::{Mark, Rejection, Tail};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::extent::{Effect, Extent};
use super::glance::Sieve;
use super::page::Page;
use crate::log::Passed;

/// Changes that one test looks at closely: to read the page anew is quicker than to follow more, and meanwhile the log stands
/// still.
const LOOKS_MAX: usize = 5_000;
/// An estimate is not followed, so it is told for no longer than this.
const ESTIMATE_MAX: Duration = Duration::from_mins(1);

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
    read: Instant,
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
    /// What is told of the whole list is as of the last heartbeat, and so is what is kept, in the slot if it is another; of its
    /// products the page shows what was heard since.
    Ahead(Option<Slot>, Option<Arc<Page>>),
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
        PAGE_BYTES + ROW_BYTES * extent.rows.len() as u64 + (body.len() + spare) as u64 + extent.tally.bytes()
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
            Tested::Ahead(kept, page) => {
                let kept = kept.map(Arc::new).inspect(|kept| {
                    self.keep(key, kept);
                });
                Lookup::Stands(page.unwrap_or_else(|| Arc::clone(&kept.as_ref().unwrap_or(slot).page)))
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
        let slot = Self {
            page: Arc::new(page),
            sieve,
            read_by,
            read: Instant::now(),
            tested: Mutex::new(Progress { to, is_settled: false }),
        };
        match slot.test(tail) {
            Tested::Stands | Tested::Unsettled(None) | Tested::Ahead(None, _) => Ok(slot),
            Tested::Followed(slot) | Tested::Unsettled(Some(slot)) | Tested::Ahead(Some(slot), _) => Ok(slot),
            Tested::Moved => Err(Rejection::Overtaken),
        }
    }

    /// The products of the page, and what is spare, with the versions that they will have once all that was heard is tested.
    pub(super) fn versions(&self, tail: &Tail<Passed>) -> Vec<(ProductId, Version)> {
        let to = self.tested.lock().unwrap_or_else(PoisonError::into_inner).to;
        let mut versions: Vec<(ProductId, Version)> =
            self.page.extent.rows.iter().map(|row| (row.place.id, row.version)).collect();
        for (_, passed) in tail.since(to).into_iter().flatten() {
            if let Passed::Change { event, .. } = passed
                && let Some((_, version)) = versions.iter_mut().find(|(id, _)| *id == event.change.id)
            {
                *version = event.change.version.max(*version);
            }
        }
        versions
    }

    /// Tests whatever was heard since the last time: up to the last heartbeat, where everything is as the database once
    /// showed it, and then what only changes bodies.
    fn test(&self, tail: &Tail<Passed>) -> Tested {
        if self.page.extent.tally.is_estimate() && self.read.elapsed() > ESTIMATE_MAX {
            return Tested::Moved;
        }
        let mut tested = self.tested.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(since) = tail.since(tested.to) else { return Tested::Moved };
        let is_heartbeat = |(_, passed): &(Mark, &Passed)| matches!(passed, Passed::Heartbeat(_));
        let cut = since.clone().rev().find(is_heartbeat).map(|(mark, _)| mark);
        let mut progress = *tested;
        let mut extent = Cow::Borrowed(&self.page.extent);
        let mut sieve = self.sieve;
        let mut is_past_cut = cut.is_none();
        let mut looked = 0;
        // The page before the first change after the last heartbeat that changes what is told of the whole list, and whether
        // a product was changed after that.
        let mut behind = None;
        let mut is_ahead = false;
        for (mark, passed) in since {
            match passed {
                Passed::Change { glance, .. } if !sieve.lets_through(glance) => {}
                Passed::Change { event, is_outdated, .. } => {
                    looked += 1;
                    if looked > LOOKS_MAX {
                        return Tested::Moved;
                    }
                    match extent.effect_of(&event.change, progress.is_settled) {
                        Effect::None => {}
                        // A product must not come in, or be shown, as it was before this node last answered it.
                        Effect::Rows { to: Some(_), .. } if *is_outdated => return Tested::Moved,
                        Effect::Rows { from, to, tallies } => {
                            let is_row = from.is_some() || to.is_some();
                            if is_past_cut && is_row && !extent.is_body(from, to.as_ref()) {
                                let (extent, progress) = behind.unwrap_or((extent, progress));
                                let slot = self.followed(extent, progress);
                                if slot.is_none() {
                                    *tested = progress;
                                }
                                return Tested::Unsettled(slot);
                            }
                            if is_past_cut && tallies {
                                behind.get_or_insert_with(|| (extent.clone(), progress));
                            }
                            let tallies = tallies && !is_past_cut;
                            if (is_row || tallies) && !extent.to_mut().follow(&event.change, from, to, tallies) {
                                return Tested::Moved;
                            }
                            is_ahead |= is_row && behind.is_some();
                            if is_row {
                                sieve = Sieve::of(&extent);
                            }
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
        if let Some((kept, progress)) = behind {
            let page = is_ahead.then(|| Arc::new(Page::of(self.page.epoch, extent.into_owned())));
            let slot = self.followed(kept, progress);
            if slot.is_none() {
                *tested = progress;
            }
            return Tested::Ahead(slot, page);
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
        Some(Self { page, sieve, read_by: self.read_by, read: self.read, tested: Mutex::new(progress) })
    }
}

#[cfg(test)]
mod tests;
