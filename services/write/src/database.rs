//! The connection to the Postgres primary: its limits, its migrations and whether it can be written to.

use std::time::Duration;

use anyhow::Context;
use bootstrap::Health;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::store::fault::Fault;
use crate::{store, upkeep};

/// The tables of the catalogue.
pub static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Of whoever applies migrations.
const MIGRATION_LOCK: i64 = 0x66_7265_7368_6574;
/// Between two tries to get it.
const MIGRATION_WAIT: Duration = Duration::from_millis(200);

/// The name of the readiness check that [`watch`] keeps.
pub const CHECK: &str = "postgres";

/// Longest wait for a free connection: past it the service is overloaded or Postgres is away, and a 503 is kinder.
const ACQUIRE_WAIT_MAX: Duration = Duration::from_secs(2);

/// One plan for all values of a statement, and what Postgres itself ends. Together with the wait above below the request
/// timeout of 10 s, so that the client hears of it, and so that no lock outlives the request that took it.
const SESSION: [(&str, &str); 6] = [
    // Every statement goes by a key or takes arrays, so that one plan fits all values; to plan costs as much as to run.
    ("plan_cache_mode", "force_generic_plan"),
    // That plan may be made while a table is still empty, and a scan of all of it the cheapest.
    ("enable_seqscan", "off"),
    // Which the price put on such scans would set off.
    ("jit", "off"),
    // A batch of 500 lines takes tens of milliseconds.
    ("statement_timeout", "5s"),
    // Longer than any transaction of ours holds a row.
    ("lock_timeout", "2s"),
    // A process that is paused must not hold its locks.
    ("idle_in_transaction_session_timeout", "5s"),
];

/// A connection that has not been used for longer is tried before it is used: no server restarts in less.
const IDLE_UNTESTED_MAX: Duration = Duration::from_millis(50);

/// How often readiness is judged: often enough for a gateway that asks every second or two.
const PROBE_PERIOD: Duration = Duration::from_secs(1);

/// A pool that connects when it is first used, so that the service starts while Postgres is away.
pub fn pool(database: &PgConnectOptions, connections_max: u32) -> PgPool {
    let options = database.clone().application_name("freshet-write").options(SESSION);
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_WAIT_MAX)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| Box::pin(ping_idle(connection, meta.idle_for)))
        .after_connect(|connection, _| Box::pin(store::note_server_start(connection)))
        .connect_lazy_with(options)
}

/// Whether a connection that was taken out of the pool may be used again.
pub(crate) async fn is_alive(connection: &mut PgConnection, idle_for: Duration) -> bool {
    matches!(timeout(ACQUIRE_WAIT_MAX, ping_idle(connection, idle_for)).await, Ok(Ok(_)))
}

/// Whether the connection may be used. Under load it was used a moment ago, and a round trip more would cost every write.
async fn ping_idle(connection: &mut PgConnection, idle_for: Duration) -> sqlx::Result<bool> {
    if idle_for > IDLE_UNTESTED_MAX {
        connection.ping().await?;
    }
    Ok(true)
}

/// Applies the migrations that the database lacks, and makes the months of its history; several at once wait for each other.
pub async fn migrate(database: &PgConnectOptions, history_months: u32) -> anyhow::Result<()> {
    let mut connection = database.connect().await.context("the database cannot be reached")?;
    // Held until the connection ends.
    while !sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "is_held!""#, MIGRATION_LOCK)
        .fetch_one(&mut connection)
        .await
        .context("the database does not answer")?
    {
        tokio::time::sleep(MIGRATION_WAIT).await;
    }
    let mut migrator = sqlx::migrate!("../../migrations");
    // It would wait for its lock within a statement, which whoever builds an index concurrently waits for in turn.
    migrator.set_locking(false);
    migrator.run(&mut connection).await.context("the migrations cannot be applied")?;
    let now = store::now(&mut connection).await?;
    match upkeep::keep_up(&mut connection, now, history_months).await {
        // Somebody reads the history for long, as a backup does. The service does it later.
        Err(error) if matches!(Fault::of(&error), Fault::Conflict | Fault::Away) => {
            eprintln!("the months of the history are not made yet: {error}");
            Ok(())
        }
        kept_up => kept_up.map(drop).context("the months of the history cannot be made"),
    }
}

/// Keeps the readiness check up to date until it is told to stop.
pub async fn watch(pool: PgPool, health: Health, stop: CancellationToken) -> anyhow::Result<()> {
    let mut period = tokio::time::interval(PROBE_PERIOD);
    while stop.run_until_cancelled(period.tick()).await.is_some() {
        health.set(CHECK, probe(&pool).await);
    }
    Ok(())
}

/// Whether the database can be written to and has the tables that this build knows.
pub async fn probe(pool: &PgPool) -> Result<(), String> {
    let is_in_recovery = sqlx::query_scalar!(r#"select pg_is_in_recovery() as "is_in_recovery!""#)
        .fetch_one(pool)
        .await
        .map_err(|error| error.to_string())?;
    if is_in_recovery {
        return Err("this Postgres is a replica".to_owned());
    }
    let applied = sqlx::query_scalar!(r#"select max(version) as "version" from _sqlx_migrations where success"#)
        .fetch_one(pool)
        .await
        .map_err(|_| "the tables are missing: run `freshet-write migrate`".to_owned())?;
    let known = MIGRATOR.iter().map(|migration| migration.version).max();
    if applied < known {
        return Err("the tables are too old: run `freshet-write migrate`".to_owned());
    }
    Ok(())
}
