//! The table `outbox`: what the relay has to publish.

use events::Change;
use sqlx::PgConnection;
use time::OffsetDateTime;
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

/// Adds one event for each change, in their order.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    changes: &[&Change],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let events = Columns::of(changes);
    sqlx::query!(
        "insert into outbox (event_id, product_id, kind, data, created_at)
         select event_id, product_id, kind, data, $5
         from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[])
              with ordinality as event (event_id, product_id, kind, data, place)
         order by place",
        &events.event_ids,
        &events.product_ids,
        &events.kinds as _,
        &events.data,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn json(change: &Change) -> String {
    serde_json::to_string(change).expect("a change has string keys and no failing serializer")
}
