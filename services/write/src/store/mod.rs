//! The SQL of the write service, as functions on a connection.

pub(crate) mod api_keys;
pub(crate) mod changes;
pub(crate) mod fault;
pub(crate) mod history;
pub(crate) mod idempotency;
pub(crate) mod products;
pub(crate) mod upkeep;

use catalog::{ProductId, Version};
use events::{Epoch, Position};
use freshness::Token;
use sqlx::PgConnection;
use time::OffsetDateTime;

/// Where the write-ahead log was after a commit; of epoch 0 if that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) epoch: Epoch,
    pub(crate) position: Position,
}

impl Moment {
    /// The token of what was committed by then; `product` is what a single-product write made of its product.
    pub(crate) fn token(self, product: Option<(ProductId, Version)>) -> Token {
        Token { epoch: self.epoch, position: self.position, product }
    }
}

/// The database's clock, in the microseconds that a stored time keeps.
pub(crate) async fn now(connection: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(connection).await
}

/// When this server was started, noted in every session of the pool: no session outlives its server, so it is looked up
/// once. The later of two moments, as the relay takes it.
pub(crate) async fn note_server_start(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        r#"select set_config(
               'freshet.server_started_at',
               greatest(
                   pg_postmaster_start_time(),
                   (select backend_start from pg_stat_activity where backend_type = 'checkpointer')
               )::text,
               false
           ) as "noted!""#
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// The epoch, 0 while this server has made none or its start was not noted, and the insert position: to be read after
/// the commit, since what is read in the transaction lies below its commit record.
pub(crate) async fn moment(connection: &mut PgConnection) -> sqlx::Result<Moment> {
    let moment = sqlx::query!(
        r#"select case server_started_at
                      when current_setting('freshet.server_started_at', true)::timestamptz then number
                      else 0
                  end as "epoch!",
                  (pg_current_wal_insert_lsn() - '0/0')::bigint as "position!"
           from epoch"#
    )
    .fetch_one(connection)
    .await?;
    Ok(Moment { epoch: Epoch(unsigned(moment.epoch)?), position: Position(unsigned(moment.position)?) })
}

fn unsigned(number: i64) -> sqlx::Result<u64> {
    u64::try_from(number).map_err(|fault| sqlx::Error::Decode(fault.into()))
}
