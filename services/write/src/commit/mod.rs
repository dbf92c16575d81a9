//! Every change of the catalogue: one transaction that locks, decides, and writes products and outbox together.
//!
//! Invariant: [`Transaction::commit`] is the only place that writes either, so an event exists if and only if its
//! change committed. Locks are taken in one order everywhere: the rows that exist by id, then new skus.

mod create;
mod decide;
mod delete;
mod patch;
mod upsert;

use catalog::Product;
use events::{Change, ChangeKind};
use sqlx::{PgConnection, Postgres};
use time::OffsetDateTime;

use crate::app::App;
use crate::counts;
use crate::error::WriteError;
use crate::store::{self, outbox, products};

pub(crate) use create::create;
pub(crate) use delete::delete;
pub(crate) use patch::patch;
pub(crate) use upsert::{BatchResult, Upserted, upsert};

/// One transaction, from the first lock to the commit.
struct Transaction<'a> {
    app: &'a App,
    inner: sqlx::Transaction<'static, Postgres>,
}

impl<'a> Transaction<'a> {
    async fn begin(app: &'a App) -> sqlx::Result<Self> {
        Ok(Self { app, inner: app.pool.begin().await? })
    }

    fn connection(&mut self) -> &mut PgConnection {
        &mut self.inner
    }

    async fn now(&mut self) -> sqlx::Result<OffsetDateTime> {
        store::now(&mut self.inner).await
    }

    /// Writes the changes, which were decided at `now`, with one event each, and commits.
    async fn commit(mut self, changes: &[Change], now: OffsetDateTime) -> Result<(), WriteError> {
        let of_kind = |kind| changes.iter().filter(move |change| change.kind() == kind);
        let created: Vec<&Product> = of_kind(ChangeKind::Created).filter_map(|change| change.after.as_ref()).collect();
        let updated: Vec<&Product> = of_kind(ChangeKind::Updated).filter_map(|change| change.after.as_ref()).collect();
        let connection = &mut *self.inner;
        if !updated.is_empty() {
            products::update(connection, &updated).await?;
        }
        for deleted in of_kind(ChangeKind::Deleted) {
            products::bury(connection, deleted.id, deleted.version, now).await?;
        }
        if !created.is_empty() {
            products::insert(connection, &created).await?;
        }
        outbox::insert(connection, changes, now).await?;
        self.inner.commit().await?;

        self.app.committed.notify_one();
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
