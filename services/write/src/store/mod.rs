//! The SQL of the write service, as functions on a connection.

pub(crate) mod fault;
pub(crate) mod outbox;
pub(crate) mod products;

use sqlx::PgConnection;
use time::OffsetDateTime;

/// The database's clock, in the microseconds that a stored time keeps.
pub(crate) async fn now(connection: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(connection).await
}
