//! What a node keeps beside its log and serves without a look at floor or R: when it may, and what takes its place.
//!
//! Architecture invariant: an entry is kept only if the log admits it at that very moment, and served only in the
//! generation of that moment. Within one generation every event that follows is applied to it, floor first, and whatever
//! raises a floor otherwise takes out what is below. So a hit needs one comparison.

use catalog::{ProductId, Version};

use crate::{Log, Provenance, Rejection};

/// What vouches for an entry that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    pub provenance: Provenance,
    /// The log's generation at the moment of admission.
    pub generation: u64,
}

impl Kept {
    /// A fill's last look, to be taken where no hit and no event of the product can come between it and the insertion:
    /// the entry may have been admitted long before.
    pub fn admitted(log: &Log, id: ProductId, entry: Provenance) -> Result<Self, Rejection> {
        log.admit_cached(id, entry)?;
        Ok(Self { provenance: entry, generation: log.generation() })
    }

    /// Whether a hit may serve it, `generation` being the log's.
    pub const fn is_served_in(self, generation: u64) -> bool {
        self.generation == generation
    }

    /// Whether an entry admitted just now takes its place: a later generation does, within one only what is newer.
    pub fn gives_way_to(self, new: Self) -> bool {
        (self.generation, self.provenance.order()) < (new.generation, new.provenance.order())
    }

    /// What vouches for it once an event has brought it up to date, whose floor was raised already and left the log in
    /// `generation`. `None` if it stays as it is.
    pub fn followed_by(self, event: Provenance, generation: u64) -> Option<Self> {
        let is_newer = self.is_served_in(generation) && event.is_newer_than(self.provenance);
        is_newer.then_some(Self { provenance: event, generation })
    }

    /// Whether it has to go, because an answer has raised the floor above it.
    pub fn is_below(self, floor: Version) -> bool {
        self.provenance.version < floor
    }
}
