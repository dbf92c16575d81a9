//! The table `outbox`: what the relay has to publish.

use events::Change;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Adds one event for each change, in their order.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    changes: &[&Change],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let event_ids: Vec<Uuid> = changes.iter().map(|_| Uuid::new_v4()).collect();
    let product_ids: Vec<i64> = changes.iter().map(|change| change.id.get()).collect();
    let kinds: Vec<&str> = changes.iter().map(|change| change.kind().word()).collect();
    let data: Vec<String> = changes.iter().map(|change| json(change)).collect();
    sqlx::query!(
        "insert into outbox (event_id, product_id, kind, data, created_at)
         select event_id, product_id, kind, data, $5
         from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[])
              with ordinality as event (event_id, product_id, kind, data, place)
         order by place",
        &event_ids,
        &product_ids,
        &kinds as _,
        &data,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn json(change: &Change) -> String {
    serde_json::to_string(change).expect("a change has string keys and no failing serializer")
}
