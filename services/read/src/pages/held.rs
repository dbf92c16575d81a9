//! A page as Redis holds it for other nodes: what a database had, and when, so that each checks it by its own log.

use bytes::Bytes;
use events::{Epoch, Position};
use serde::{Deserialize, Serialize};

use super::extent::are_in_order;
use super::page::Listing;
use super::query::PageQuery;
use crate::sources::Sourced;

/// Of what follows, and of all that decides which products a query finds, how they are ranked and what is told of them: pages of
/// another release may be of another mind.
const FORM: u32 = 1;
/// A longer page is not held: it would keep products waiting behind it, and take their room.
const BYTES_MAX: usize = 262_144;

/// What a database had for a page.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeldPage {
    form: u32,
    /// As [`PageQuery::to_text`] writes it.
    query: String,
    pub(super) epoch: Epoch,
    /// *R*.
    pub(super) read_at: Position,
    pub(super) listing: Listing,
}

impl HeldPage {
    pub(super) fn new(query: &PageQuery, read: Sourced<Listing>) -> Self {
        Self { form: FORM, query: query.to_text(), epoch: read.epoch, read_at: read.read_at, listing: read.value }
    }

    /// `None` if it is too long to be held, or an estimate, which would be told for longer by each node that takes it.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        if self.listing.tally.is_estimate() {
            return None;
        }
        let bytes = serde_json::to_vec(self).expect("a page has string keys and no failing serializer");
        (bytes.len() <= BYTES_MAX).then_some(bytes)
    }

    /// `None` if it is no page of this query, in the form that this version writes.
    pub(super) fn decode(held: &Bytes, query: &PageQuery) -> Option<Self> {
        let page: Self = serde_json::from_slice(held).ok()?;
        let is_ours = page.form == FORM
            && page.query == query.to_text()
            && page.listing.stage.is_some() == query.words.is_some()
            && are_in_order(query, &page.listing.found);
        is_ours.then_some(page)
    }
}
