//! The SQL of the write service, as functions on a connection.

pub mod fault;
pub mod outbox;
pub mod products;

use sqlx::PgConnection;
use time::OffsetDateTime;

/// The database's clock, in the microseconds that a stored time keeps.
pub async fn now(connection: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(connection).await
}
