//! Where a database stands in the write-ahead log, and up to when it shows what was committed.

use events::Position;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Up to where a replica has replayed, or the primary has inserted: every commit below it is visible to a later snapshot.
pub(crate) async fn position(connection: &mut PgConnection) -> Result<Position, sqlx::Error> {
    let text = sqlx::query_scalar!(
        r#"
        select case
            when pg_is_in_recovery() then pg_last_wal_replay_lsn()
            else pg_current_wal_insert_lsn()
        end::text as "position!"
        "#
    )
    .fetch_one(connection)
    .await?;
    text.parse().map_err(|fault| sqlx::Error::Decode(Box::new(fault)))
}

/// A moment of the primary's clock: what was committed before it is visible. `None` if a replica cannot tell.
pub(crate) async fn shown_until(connection: &mut PgConnection) -> Result<Option<OffsetDateTime>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select case
            when pg_is_in_recovery() then pg_last_xact_replay_timestamp()
            else clock_timestamp()
        end as "until?"
        "#
    )
    .fetch_one(connection)
    .await
}
