//! Whether the leader is still on the server that the primary's address names.
//!
//! A session outlives a failover that leaves the old primary running. Nobody would then publish what the new one commits,
//! and heartbeats of the old one would go on to vouch for a catalogue without it.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};
use time::OffsetDateTime;
use tokio::time::{MissedTickBehavior, timeout};

use super::session::server_start;

/// A connection is cheap beside the work of a second, and for about this long may such heartbeats go on.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest look; one that fails says nothing.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Returns when `database` names another primary than the one that was started at `own_start`.
pub(super) async fn has_moved(database: &PgConnectOptions, own_start: OffsetDateTime) {
    let mut looks = tokio::time::interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        if let Ok(Ok(true)) = timeout(LOOK_MAX, is_another(database, own_start)).await {
            return;
        }
    }
}

async fn is_another(database: &PgConnectOptions, own_start: OffsetDateTime) -> sqlx::Result<bool> {
    let mut connection = database.clone().application_name("freshet-relay-address").connect().await?;
    // A standby at the address is no primary yet: the failover has only begun.
    let is_standby =
        sqlx::query_scalar!(r#"select pg_is_in_recovery() as "is_standby!""#).fetch_one(&mut connection).await?;
    let start = server_start(&mut connection).await?;
    connection.close().await?;
    Ok(!is_standby && start != own_start)
}
