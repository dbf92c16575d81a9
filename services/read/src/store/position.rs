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

/// A position that nothing has reached which a snapshot of before can show: what a replica has received may be replayed in
/// part before it says so.
pub(crate) async fn position_after(connection: &mut PgConnection) -> Result<Position, sqlx::Error> {
    let text = sqlx::query_scalar!(
        r#"
        select case
            when pg_is_in_recovery() then greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            else pg_current_wal_insert_lsn()
        end::text as "position!"
        "#
    )
    .fetch_one(connection)
    .await?;
    text.parse().map_err(|fault| sqlx::Error::Decode(Box::new(fault)))
}

/// The position of the primary, and whether that has made its epoch since it was started: until then another server may
/// have gone on under the same number, and its tokens name positions of another history.
pub(crate) async fn vouched_position(connection: &mut PgConnection) -> Result<(Position, bool), sqlx::Error> {
    let vouches = sqlx::query_scalar!(
        r#"
        select coalesce(server_started_at = current_setting('freshet.server_started_at', true)::timestamptz, false)
            as "vouches!"
        from epoch
        "#
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok((position(connection).await?, vouches))
}

/// Notes in the session when its server was started, as the relay takes it: no session outlives its server. The later of
/// two moments, since a backend that crashes restarts the checkpointer and not the postmaster.
pub(crate) async fn note_server_start(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        select set_config(
            'freshet.server_started_at',
            greatest(
                pg_postmaster_start_time(),
                (select backend_start from pg_stat_activity where backend_type = 'checkpointer')
            )::text,
            false
        ) as "noted!"
        "#
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

pub(crate) async fn epoch(connection: &mut PgConnection) -> Result<Epoch, sqlx::Error> {
    let number = sqlx::query_scalar!("select number from epoch").fetch_one(connection).await?;
    read_epoch(number)
}

/// The failovers that may have lost writes; one row each, and the one of this server while its relay has not noted it:
/// what the epoch in the row wrote past it is of another timeline.
pub(crate) async fn cuts(connection: &mut PgConnection) -> Result<Vec<Cut>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select number as "number!", kept_to as "kept_to!"
        from cut
        union all
        select number + 1, settled_to
        from epoch
        join mark on mark.only_row
        where case
            when pg_is_in_recovery() or number = 0 then false
            else timeline <> ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
        end
        "#
    )
    .fetch_all(connection)
    .await?;
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
