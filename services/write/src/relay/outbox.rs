//! The relay's statements, all on the leader's session.

use events::Position;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use super::epoch::Epoch;
use super::session::Session;
use super::stream::Tail;

/// Deleted rows that the scan passes over before it is asked whether they can be left behind.
const DELETED_MAX: usize = 64;

/// A committed change that waits for the stream.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) id: i64,
    pub(crate) event_id: Uuid,
    pub(crate) product_id: i64,
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) actor: Option<String>,
}

/// How much waits, and for how long.
pub(crate) struct Backlog {
    pub(crate) rows: i64,
    pub(crate) oldest_age_s: f64,
}

/// Counts at most `limit` rows.
pub(crate) async fn backlog(connection: &mut PgConnection, limit: i64) -> Result<Backlog, sqlx::Error> {
    sqlx::query_as!(
        Backlog,
        r#"select (select count(*) from (select from outbox limit $1) as counted) as "rows!",
                  coalesce(
                      (select extract(epoch from clock_timestamp() - created_at) from outbox order by id limit 1),
                      0
                  )::float8 as "oldest_age_s!""#,
        limit
    )
    .fetch_one(connection)
    .await
}

/// What a turn begins with.
pub(crate) struct Snapshot {
    /// The primary's clock before the rows were looked at.
    pub(crate) t: OffsetDateTime,
    /// The write-ahead log's insert position, read after `t` and before the rows.
    pub(crate) h: Position,
    pub(crate) epoch: Epoch,
    /// The first pending rows, in order.
    pub(crate) rows: Vec<Pending>,
    /// Whether more rows than these are pending.
    pub(crate) has_more: bool,
    /// The insert position, read after the rows: an upper bound of where any of them was committed.
    pub(crate) position: Position,
}

impl Snapshot {
    /// Leaves out all but the first rows.
    pub(crate) fn cut(mut self, rows_max: usize) -> Self {
        self.has_more |= self.rows.len() > rows_max;
        self.rows.truncate(rows_max);
        self
    }
}

/// Where the scan of the outbox begins: this server has no row below it, and none will come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scan {
    from_id: i64,
    /// Rows that were deleted since it was raised, and that the scan still passes over.
    deleted: usize,
}

/// What the stream now holds, and how it ends since.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) tail: Tail,
    /// The rows of the events.
    pub(super) rows: Vec<i64>,
    /// An upper bound of where they were committed.
    pub(super) position: Position,
}

/// Settles what was published, and reads at most `limit` rows. If another epoch has begun meanwhile, only the latter; the
/// snapshot shows it.
pub(super) async fn snapshot(
    session: &mut Session,
    published: Option<&Published>,
    limit: i64,
) -> Result<Snapshot, sqlx::Error> {
    if session.scan.deleted >= DELETED_MAX {
        raise_start(session).await?;
    }
    session.scan.deleted += published.map_or(0, |published| published.rows.len());
    let rows = sqlx::query!(
        r#"select t as "t!",
                  (h - '0/0')::bigint as "h!",
                  (pending_by - '0/0')::bigint as "position!",
                  number as "number!",
                  server_started_at,
                  mark_sequence as "mark_sequence!",
                  mark_id,
                  id,
                  event_id,
                  product_id,
                  kind,
                  data,
                  created_at,
                  actor
           from relay_turn($1, $2, $3, $4, $5, $6, $7)"#,
        limit,
        session.scan.from_id,
        published.map(|published| signed(published.tail.epoch)),
        published.map(|published| published.rows.as_slice()),
        published.map(|published| signed(published.position.0)),
        published.map(|published| signed(published.tail.sequence)),
        published.and_then(|published| published.tail.id)
    )
    .fetch_all(&mut session.connection)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let epoch = Epoch {
        number: unsigned(first.number),
        made_on_server_of: first.server_started_at,
        server_started_at: session.server_started_at,
        mark_sequence: unsigned(first.mark_sequence),
        mark_id: first.mark_id,
    };
    let (t, h, position) = (first.t, position(first.h), position(first.position));
    let rows = rows
        .into_iter()
        .filter_map(|row| {
            Some(Pending {
                id: row.id?,
                event_id: row.event_id?,
                product_id: row.product_id?,
                kind: row.kind?,
                data: row.data?,
                created_at: row.created_at?,
                actor: row.actor,
            })
        })
        .collect();
    Ok(Snapshot { t, h, epoch, rows, has_more: false, position })
}

/// Leaves deleted rows behind, if that can be done at once.
async fn raise_start(session: &mut Session) -> Result<(), sqlx::Error> {
    let from_id = sqlx::query_scalar!(r#"select outbox_start($1) as "from_id!""#, session.scan.from_id)
        .fetch_one(&mut session.connection)
        .await?;
    if from_id > session.scan.from_id {
        session.scan = Scan { from_id, deleted: 0 };
    }
    Ok(())
}

/// The rows of these events, as far as they are still pending.
pub(crate) async fn rows_of(connection: &mut PgConnection, events: &[Uuid]) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!("select id from outbox where event_id = any($1)", events).fetch_all(connection).await
}

/// Begins an epoch, durably: were it lost, the stream would hold a higher one than its own primary.
///
/// On another timeline than the last epoch's it notes where that was cut off: what it wrote later is lost.
pub(crate) async fn begin_epoch(
    connection: &mut PgConnection,
    old: &Epoch,
    number: u64,
    mark_sequence: u64,
    mark_id: Option<Uuid>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query!("set local synchronous_commit = on").execute(&mut *transaction).await?;
    // Not the end of what was replayed, which a server that was restarted since its promotion has forgotten.
    sqlx::query!(
        "insert into cut (number, kept_to)
         select $2, settled_to
         from epoch
         join mark on mark.only_row
         where number = $1
           and number > 0
           and timeline <>
               ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer",
        signed(old.number),
        signed(number)
    )
    .execute(&mut *transaction)
    .await?;
    let begun = sqlx::query!(
        "update epoch
         set number = $2,
             server_started_at = $3,
             timeline = ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::integer
         where number = $1",
        signed(old.number),
        signed(number),
        old.server_started_at
    )
    .execute(&mut *transaction)
    .await?;
    let marked = sqlx::query!(
        "update mark
         set epoch = $2, sequence = $3, id = $4
         where only_row
           and epoch = $1",
        signed(old.number),
        signed(number),
        signed(mark_sequence),
        mark_id
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok((begun.rows_affected(), marked.rows_affected()) == (1, 1))
}

fn position(lsn: i64) -> Position {
    Position(unsigned(lsn))
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).expect("the database holds no negative sequence, epoch or position")
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("sequences, epochs and positions stay below 2^63")
}
