//! The dedicated database session: holding its lock is being the leader.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use time::OffsetDateTime;

use super::outbox::Scan;

/// The lock of the one leader, the same in every instance; "freshet" in ASCII.
const LEADER_LOCK: i64 = 0x66_7265_7368_6574;

/// Settings of the session. Dead peers are noticed within about 10 s instead of two hours, and no statement of the
/// relay is long. Its commits may be lost in a crash: the stream shows again what they said, and the next session begins
/// a new epoch anyway; only the epoch itself is stored durably. Statements are planned once and go by an index also where
/// that is done while the outbox happens to be empty, and a scan of the whole table to be cheapest.
const OPTIONS: [(&str, &str); 10] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "10s"),
    ("statement_timeout", "5s"),
    ("lock_timeout", "5s"),
    ("synchronous_commit", "off"),
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
];

/// For how long a session counts as one that was just opened: some asks for the lock, and a slow turn before its own.
const JUST_OPENED_MAX: Duration = Duration::from_secs(10);

/// A session that may hold the leader's lock.
pub struct Session {
    pub(crate) connection: PgConnection,
    /// When its server was started, which no session outlives.
    pub(crate) server_started_at: OffsetDateTime,
    /// Where the URL leads to may have changed since.
    pub opened_at: Instant,
    pub(crate) scan: Scan,
}

/// What came of asking for the lock.
pub(crate) enum Claim {
    Granted(Session),
    /// Another session holds it; with this one it can be watched.
    Held(Session),
}

impl Session {
    /// Connects and asks for the lock once. `None` while another session holds it.
    pub async fn claim(database: &PgConnectOptions) -> Result<Option<Self>, sqlx::Error> {
        match claim(connect(database).await?).await? {
            Claim::Granted(session) => Ok(Some(session)),
            Claim::Held(_) => Ok(None),
        }
    }

    /// Whether it surely leads to the server that the URL names.
    pub(crate) fn is_just_opened(&self) -> bool {
        self.opened_at.elapsed() < JUST_OPENED_MAX
    }
}

pub(crate) async fn connect(database: &PgConnectOptions) -> Result<Session, sqlx::Error> {
    let opened_at = Instant::now();
    let mut connection = database.clone().application_name("freshet-relay").options(OPTIONS).connect().await?;
    let server_started_at = server_start(&mut connection).await?;
    Ok(Session { connection, server_started_at, opened_at, scan: Scan::default() })
}

/// Tells a server from any other, and from itself before a restart. A crash of one backend loses commits that were not
/// yet durable, and restarts the checkpointer but not the postmaster: so the later of the two counts.
pub(super) async fn server_start(connection: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(
        r#"select greatest(
               pg_postmaster_start_time(),
               (select backend_start from pg_stat_activity where backend_type = 'checkpointer')
           ) as "start!""#
    )
    .fetch_one(connection)
    .await
}

pub(crate) async fn claim(mut session: Session) -> Result<Claim, sqlx::Error> {
    // A standby grants advisory locks too, but could neither delete a row nor store a mark.
    let is_granted = sqlx::query_scalar!(
        r#"select not pg_is_in_recovery() and pg_try_advisory_lock($1) as "is_granted!""#,
        LEADER_LOCK
    )
    .fetch_one(&mut session.connection)
    .await?;
    Ok(if is_granted { Claim::Granted(session) } else { Claim::Held(session) })
}

/// Ends the session that holds the lock; how many were ended.
pub(crate) async fn end_holder(connection: &mut PgConnection) -> Result<u64, sqlx::Error> {
    let ended = sqlx::query!(
        r#"select pg_terminate_backend(pid) as "is_ended!"
           from pg_locks
           where locktype = 'advisory'
             and granted
             and database = (select oid from pg_database where datname = current_database())
             and (classid::bigint << 32 | objid::bigint) = $1
             and pid <> pg_backend_pid()"#,
        LEADER_LOCK
    )
    .fetch_all(connection)
    .await?;
    Ok(ended.iter().filter(|row| row.is_ended).count() as u64)
}
