//! Every statement that the projector sends to Postgres. It only reads.

mod live;
mod position;
mod reading;

pub(crate) use live::{last_id, live_products};
pub(crate) use position::{position, shown_until};
pub(crate) use reading::{any_id, row, standing};

use events::Epoch;
use sqlx::{Connection, PgConnection, Postgres, Transaction};

/// Begins a transaction whose statements all see the database as the first of them does.
async fn one_snapshot(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    connection.begin_with("begin isolation level repeatable read, read only").await
}

/// The epoch as a column gives it.
fn read_epoch(number: i64) -> Result<Epoch, sqlx::Error> {
    u64::try_from(number).map(Epoch).map_err(|fault| sqlx::Error::Decode(Box::new(fault)))
}
