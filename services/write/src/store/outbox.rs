//! The table `outbox`: what the relay has to publish.

use events::Change;
use uuid::Uuid;

/// The columns of new events, as arrays for `unnest`.
pub(super) struct Columns {
    pub(super) event_ids: Vec<Uuid>,
    pub(super) product_ids: Vec<i64>,
    pub(super) kinds: Vec<&'static str>,
    pub(super) data: Vec<String>,
}

impl Columns {
    pub(super) fn of(changes: &[&Change]) -> Self {
        Self {
            event_ids: changes.iter().map(|_| Uuid::new_v4()).collect(),
            product_ids: changes.iter().map(|change| change.id.get()).collect(),
            kinds: changes.iter().map(|change| change.kind().word()).collect(),
            data: changes.iter().map(|change| json(change)).collect(),
        }
    }
}

fn json(change: &Change) -> String {
    serde_json::to_string(change).expect("a change has string keys and no failing serializer")
}
