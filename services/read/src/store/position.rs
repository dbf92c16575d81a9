//! Where a database stands: its epoch, and its place in the write-ahead log.

use events::{Epoch, Position};
use freshness::Cut;
use sqlx::PgConnection;

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

pub(crate) async fn epoch(connection: &mut PgConnection) -> Result<Epoch, sqlx::Error> {
    let number = sqlx::query_scalar!("select number from epoch").fetch_one(connection).await?;
    read_epoch(number)
}

/// The failovers that may have lost writes; one row each.
pub(crate) async fn cuts(connection: &mut PgConnection) -> Result<Vec<Cut>, sqlx::Error> {
    let rows = sqlx::query!("select number, kept_to from cut").fetch_all(connection).await?;
    rows.into_iter()
        .map(|row| {
            let kept_to = u64::try_from(row.kept_to).map_err(|fault| sqlx::Error::Decode(Box::new(fault)))?;
            Ok(Cut { epoch: read_epoch(row.number)?, kept_to: Position(kept_to) })
        })
        .collect()
}

/// The epoch as a column gives it.
pub(crate) fn read_epoch(number: i64) -> Result<Epoch, sqlx::Error> {
    u64::try_from(number).map(Epoch).map_err(|fault| sqlx::Error::Decode(Box::new(fault)))
}
