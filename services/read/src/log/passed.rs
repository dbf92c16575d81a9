//! What pages are checked by: changes that the log has shown, and answers that were ahead of it.

use std::sync::Arc;

use catalog::{ProductId, Version};
use events::{Position, ProductEvent};

use crate::pages::Glance;

/// What an event takes beside its texts.
const EVENT_BYTES: usize = size_of::<Passed>() + size_of::<ProductEvent>() + 200;

/// One thing that was heard.
#[derive(Clone, Debug)]
pub(crate) enum Passed {
    Change {
        glance: Glance,
        event: Arc<ProductEvent>,
        /// Whether this node knows a newer version already, from an answer that was ahead of the log.
        is_outdated: bool,
    },
    /// A heartbeat's *h*: every write whose position, read after its commit, is strictly below was heard before.
    Heartbeat(Position),
    /// This node has answered with a version that the log had not shown: nothing older may follow.
    Answered(ProductId, Version),
}

impl Passed {
    /// About the memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        let Self::Change { event, .. } = self else { return size_of::<Self>() };
        let change = &event.change;
        let description = change.after.as_ref().and_then(|after| after.description.as_ref());
        let words = change
            .words
            .as_ref()
            .map_or(0, |words| [&words.before, &words.after].into_iter().flatten().map(String::len).sum());
        let image = change.after.as_ref().and_then(|after| after.image_url.as_ref());
        let names = change.after.as_ref().map_or(0, |after| 2 * after.name.as_str().len());
        EVENT_BYTES
            + description.map_or(0, |text| text.as_str().len())
            + image.map_or(0, |text| text.as_str().len())
            + names
            + words
    }
}
