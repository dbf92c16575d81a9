//! A page as Redis holds it for other nodes: what a database had, and when, so that each checks it by its own log.

use bytes::Bytes;
use events::{Epoch, Position};
use serde::{Deserialize, Serialize};

use super::page::Listing;
use crate::sources::Sourced;

/// What a database had for a page.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HeldPage {
    pub(super) epoch: Epoch,
    /// *R*.
    pub(super) read_at: Position,
    pub(super) listing: Listing,
}

impl From<Sourced<Listing>> for HeldPage {
    fn from(read: Sourced<Listing>) -> Self {
        Self { epoch: read.epoch, read_at: read.read_at, listing: read.value }
    }
}

impl HeldPage {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a page has string keys and no failing serializer")
    }

    /// `None` if it is not in the form that this version writes.
    pub(super) fn decode(held: &Bytes) -> Option<Self> {
        serde_json::from_slice(held).ok()
    }
}
