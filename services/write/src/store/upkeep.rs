//! The partitions of `product_history`, and what is deleted from it and from `idempotency` when it is old.

use sqlx::PgConnection;
use time::{Date, OffsetDateTime};

/// Of the instance that is at it.
const LOCK: i64 = 0x66_7265_7368_7570;

/// Longest wait for a lock: whoever writes history waits behind it.
const LOCK_WAIT_MAX: &str = "500ms";
/// Longest time for a statement, waits included: well below the 2 s that a change of a product waits for a lock.
const STATEMENT_TIME_MAX: &str = "1s";

/// Whether nobody else is at it until this transaction ends, which also waits for nothing for long.
pub(crate) async fn claim(transaction: &mut PgConnection) -> sqlx::Result<bool> {
    let claimed = sqlx::query!(
        r#"select pg_try_advisory_xact_lock($1) as "is_held!",
                  set_config('lock_timeout', $2, true) as lock_timeout,
                  set_config('statement_timeout', $3, true) as statement_timeout"#,
        LOCK,
        LOCK_WAIT_MAX,
        STATEMENT_TIME_MAX,
    )
    .fetch_one(transaction)
    .await?;
    Ok(claimed.is_held)
}

/// The names of the partitions of the history.
pub(crate) async fn partitions(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select relname::text as "name!"
           from pg_inherits
           join pg_class on pg_class.oid = inhrelid
           where inhparent = 'product_history'::regclass"#
    )
    .fetch_all(connection)
    .await
}

/// A moment of each month that has a row among the first `rows_max` of the rest.
pub(crate) async fn months_in_rest(connection: &mut PgConnection, rows_max: i64) -> sqlx::Result<Vec<OffsetDateTime>> {
    sqlx::query_scalar!(
        r#"select min(changed_at) as "moment!"
           from (select changed_at from product_history_rest limit $1) as held
           group by date_trunc('month', changed_at at time zone 'UTC')"#,
        rows_max,
    )
    .fetch_all(connection)
    .await
}

/// False, and nothing is done, if more than `rows_max` rows would have to be moved.
pub(crate) async fn make_month(connection: &mut PgConnection, month: Date, rows_max: i64) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select make_history_month($1, $2) as "is_made!""#, month, rows_max)
        .fetch_one(connection)
        .await
}

pub(crate) async fn drop_month(connection: &mut PgConnection, month: Date) -> sqlx::Result<()> {
    sqlx::query!("select drop_history_month($1)", month).execute(connection).await?;
    Ok(())
}

/// Deletes some rows of before from where no month holds them; returns how many.
pub(crate) async fn delete_from_rest(
    connection: &mut PgConnection,
    before: OffsetDateTime,
    rows_max: i64,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from product_history_rest
         where ctid = any(array(select ctid from product_history_rest where changed_at < $1 limit $2))",
        before,
        rows_max,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}

/// Forgets some of the oldest keys of before; returns how many.
pub(crate) async fn delete_keys(
    connection: &mut PgConnection,
    before: OffsetDateTime,
    rows_max: i64,
) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "delete from idempotency
         where ctid = any(array(
             select ctid
             from idempotency
             where created_at < $1
             order by created_at
             limit $2
             for update skip locked
         ))",
        before,
        rows_max,
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
