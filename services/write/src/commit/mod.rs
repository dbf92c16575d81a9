//! Every change of the catalogue: one transaction that locks, decides, and writes products and outbox together.
//!
//! Invariant: [`Transaction::commit`] is the only place that writes either, so an event exists if and only if its
//! change committed. Locks are taken in one order everywhere: the rows that exist by id, then new skus.

mod combine;
mod create;
mod decide;
mod delete;
mod upsert;

use std::collections::HashMap;

use catalog::{Product, ProductId};
use events::{Change, ChangeKind};
use sqlx::{Connection, PgConnection, Postgres};
use time::OffsetDateTime;

use crate::app::Primary;
use crate::counts;
use crate::error::WriteError;
use crate::store::{self, Moment, outbox, products};

pub(crate) use combine::Patches;
pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use upsert::{BatchResult, Upserted, upsert};

/// One transaction, from the first lock to the commit.
struct Transaction<'a> {
    primary: &'a Primary,
    inner: sqlx::Transaction<'a, Postgres>,
}

impl<'a> Transaction<'a> {
    /// On a connection that the caller keeps: the commit's [`moment`] is to be read on it.
    async fn begin(primary: &'a Primary, connection: &'a mut PgConnection) -> sqlx::Result<Self> {
        Ok(Self { primary, inner: connection.begin().await? })
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    async fn now(&mut self) -> sqlx::Result<OffsetDateTime> {
        store::now(&mut self.inner).await
    }

    /// Writes the changes, which were decided at `now`, with one event each, and commits.
    async fn commit(mut self, changes: &[Change], now: OffsetDateTime) -> Result<(), WriteError> {
        let created: Vec<&Product> =
            of_kind(changes, ChangeKind::Created).filter_map(|new| new.after.as_ref()).collect();
        let updates = updates(changes);
        let connection = &mut *self.inner;
        if !updates.is_empty() {
            products::update(connection, &updates).await?;
        }
        for deleted in of_kind(changes, ChangeKind::Deleted) {
            products::bury(connection, deleted.id, deleted.version, now).await?;
        }
        if !created.is_empty() {
            products::insert(connection, &created).await?;
        }
        outbox::insert(connection, changes, now).await?;
        self.inner.commit().await?;

        self.primary.committed.notify_one();
        for change in changes {
            counts::change(change.kind());
        }
        Ok(())
    }

    /// Gives the locks back at once, where nothing is to be changed.
    async fn abandon(self) -> sqlx::Result<()> {
        self.inner.rollback().await
    }
}

/// The moment of a commit, or of finding that nothing is to be changed, on the same connection: another one may lead to
/// another server by now.
///
/// A write whose moment cannot be read is stored all the same: its token then asks for the primary.
async fn moment(connection: &mut PgConnection) -> Moment {
    store::moment(connection).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "token_not_made");
        Moment::default()
    })
}

/// The moment on any connection, where nothing was stored.
pub(crate) async fn moment_now(primary: &Primary) -> Moment {
    match primary.pool.acquire().await {
        Ok(mut connection) => moment(&mut connection).await,
        Err(_) => Moment::default(),
    }
}

fn of_kind(changes: &[Change], kind: ChangeKind) -> impl Iterator<Item = &Change> {
    changes.iter().filter(move |change| change.kind() == kind)
}

/// What the updated products become, and how many versions that is for each.
fn updates(changes: &[Change]) -> Vec<(&Product, u32)> {
    let mut updates: Vec<(&Product, u32)> = Vec::new();
    let mut places: HashMap<ProductId, usize> = HashMap::new();
    for after in of_kind(changes, ChangeKind::Updated).filter_map(|change| change.after.as_ref()) {
        let place = *places.entry(after.id).or_insert(updates.len());
        if let Some(update) = updates.get_mut(place) {
            *update = (after, update.1 + 1);
        } else {
            updates.push((after, 1));
        }
    }
    updates
}
