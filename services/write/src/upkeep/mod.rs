//! Upkeep of what grows with time: months of the history are made ahead and dropped when they are old, idempotency keys are
//! forgotten.
//!
//! Any instance may do it and one at a time does. Each step is a transaction of its own that waits for a moment at most, and what
//! it could not do the next round does: a history without partitions is still kept, in the rest.

mod months;

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use time::OffsetDateTime;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::counts;
use crate::store::{self, upkeep};

pub use months::Month;

/// Between two rounds: short, so that each has little to forget. One that finds nothing to do costs three queries.
const PERIOD: Duration = Duration::from_mins(1);

/// How long an idempotency key is kept: a client that does not know what became of its request asks again within minutes, one
/// that was down perhaps the next morning.
const KEYS_KEPT: Duration = Duration::from_hours(24);

/// Rows deleted in one transaction: some tens of milliseconds.
const ROWS_DELETED_MAX: i64 = 5_000;
/// Such transactions in a round: five times what a thousand keys a second leave in one.
const DELETES_MAX: u32 = 60;

/// Rows moved from the rest into a new month. They keep whoever writes history waiting for less than a second.
const ROWS_MOVED_MAX: i64 = 50_000;

/// What one round has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    pub made: Vec<Month>,
    pub dropped: Vec<Month>,
    /// Rows of the history that were too old and in no month.
    pub rows_deleted: u64,
    pub keys_forgotten: u64,
}

/// One round after the other until told to stop.
pub async fn run(pool: PgPool, months_kept: u32, stop: CancellationToken) -> anyhow::Result<()> {
    let mut rounds = tokio::time::interval(PERIOD);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        let round = async {
            let mut connection = pool.acquire().await?;
            let now = store::now(&mut connection).await?;
            keep_up(&mut connection, now, months_kept).await
        };
        // A step that is cut off is rolled back.
        if let Some(Err(error)) = stop.run_until_cancelled(round).await {
            counts::upkeep_failed();
            tracing::warn!(%error, "upkeep_failed");
        }
    }
    Ok(())
}

/// One round, as of `now`. Forgets keys also where the months cannot be kept up, as while a backup reads them.
pub async fn keep_up(connection: &mut PgConnection, now: OffsetDateTime, months_kept: u32) -> sqlx::Result<Round> {
    let mut round = Round::default();
    let forgotten = forget_keys(connection, now, &mut round).await;
    keep_months(connection, now, months_kept, &mut round).await?;
    forgotten?;
    Ok(round)
}

async fn keep_months(
    connection: &mut PgConnection,
    now: OffsetDateTime,
    months_kept: u32,
    round: &mut Round,
) -> sqlx::Result<()> {
    let tables = upkeep::partitions(connection).await?;
    let existing = tables.iter().filter_map(|table| Month::of_table(table)).collect();
    let in_rest = upkeep::months_in_rest(connection, ROWS_MOVED_MAX).await?.into_iter().map(Month::of).collect();
    let plan = months::plan(now, months_kept, &existing, &in_rest);
    for month in plan.make {
        let Some(mut step) = begin(connection).await? else { return Ok(()) };
        if upkeep::make_month(&mut step, month.first_day(), ROWS_MOVED_MAX).await? {
            step.commit().await?;
            tracing::info!(%month, "history_month_made");
            round.made.push(month);
        } else {
            // They stay where they are, are found like all others, and are deleted when they are too old.
            counts::upkeep_failed();
            tracing::error!(%month, rows_max = ROWS_MOVED_MAX, "history_month_not_made");
        }
    }
    for month in plan.drop {
        let Some(mut step) = begin(connection).await? else { return Ok(()) };
        upkeep::drop_month(&mut step, month.first_day()).await?;
        step.commit().await?;
        tracing::info!(%month, "history_month_dropped");
        round.dropped.push(month);
    }
    if in_rest.iter().any(|month| month < months::kept(now, months_kept).start()) {
        let before = months::kept(now, months_kept).start().first_day().midnight().assume_utc();
        for _ in 0..DELETES_MAX {
            let Some(mut step) = begin(connection).await? else { return Ok(()) };
            let deleted = upkeep::delete_from_rest(&mut step, before, ROWS_DELETED_MAX).await?;
            step.commit().await?;
            round.rows_deleted += deleted;
            if deleted < ROWS_DELETED_MAX.unsigned_abs() {
                break;
            }
        }
    }
    Ok(())
}

async fn forget_keys(connection: &mut PgConnection, now: OffsetDateTime, round: &mut Round) -> sqlx::Result<()> {
    for _ in 0..DELETES_MAX {
        let Some(mut step) = begin(connection).await? else { return Ok(()) };
        let forgotten = upkeep::delete_keys(&mut step, now - KEYS_KEPT, ROWS_DELETED_MAX).await?;
        step.commit().await?;
        round.keys_forgotten += forgotten;
        if forgotten < ROWS_DELETED_MAX.unsigned_abs() {
            break;
        }
    }
    Ok(())
}

/// A step that nobody else is in; `None` if another instance is at it.
async fn begin(connection: &mut PgConnection) -> sqlx::Result<Option<Transaction<'_, Postgres>>> {
    let mut step = connection.begin().await?;
    Ok(upkeep::claim(&mut step).await?.then_some(step))
}
