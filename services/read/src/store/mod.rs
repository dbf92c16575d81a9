//! Every statement that this service sends to Postgres.

mod list;
mod matches;
mod page;
mod paths;
mod position;
mod product;
mod snapshot;
mod tally;
mod terms;

pub(crate) use page::page;
pub(crate) use position::{cuts, epoch, note_server_start, position, read_epoch, vouched_position};
pub(crate) use product::{Stored, products_by_id, products_by_sku};
pub(crate) use snapshot::STATEMENT_TIMEOUT;
