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
use crate::store::products::{Update, WordsById};
use crate::store::{self, Moment, products};
use decide::Decided;

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

    /// Writes the changes, which were decided at `now` of products that were found by `words`, with one event each, and
    /// commits.
    async fn commit(
        mut self,
        decided: &mut [Decided],
        mut words: WordsById,
        now: OffsetDateTime,
    ) -> Result<(), WriteError> {
        let connection = &mut *self.inner;
        let texts: Vec<Update<'_>> = updates(decided).into_iter().filter(|update| update.changes_words).collect();
        let mut written = WordsById::new();
        if !texts.is_empty() {
            written = products::update(connection, &texts).await?;
        }
        for Decided { change: deleted, .. } in of_kind(decided, ChangeKind::Deleted) {
            products::bury(connection, deleted.id, deleted.version, now).await?;
        }
        let created: Vec<&Product> =
            of_kind(decided, ChangeKind::Created).filter_map(|new| new.change.after.as_ref()).collect();
        if !created.is_empty() {
            written.extend(products::insert(connection, &created).await?);
        }
        decide::note_words(decided, &mut words, &mut written);
        let offers: Vec<Update<'_>> = updates(decided).into_iter().filter(|update| !update.changes_words).collect();
        let changes: Vec<&Change> = decided.iter().map(|decided| &decided.change).collect();
        products::update_offers_and_insert_events(connection, &offers, &changes, now).await?;
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
    try_moment(connection).await.unwrap_or_default()
}

async fn try_moment(connection: &mut PgConnection) -> Option<Moment> {
    store::moment(connection).await.inspect_err(|error| tracing::warn!(%error, "token_not_made")).ok()
}

/// The moment on any connection, where nothing was stored.
pub(crate) async fn moment_now(primary: &Primary) -> Moment {
    match primary.pool.acquire().await {
        Ok(mut connection) => moment(&mut connection).await,
        Err(_) => Moment::default(),
    }
}

fn of_kind(decided: &[Decided], kind: ChangeKind) -> impl Iterator<Item = &Decided> {
    decided.iter().filter(move |decided| decided.change.kind() == kind)
}

/// What each updated product becomes.
fn updates(decided: &[Decided]) -> Vec<Update<'_>> {
    let mut updates: Vec<Update<'_>> = Vec::new();
    let mut places: HashMap<ProductId, usize> = HashMap::new();
    for Decided { change, changes_words } in of_kind(decided, ChangeKind::Updated) {
        let Some(after) = &change.after else { continue };
        let place = *places.entry(after.id).or_insert(updates.len());
        if let Some(update) = updates.get_mut(place) {
            let versions = update.versions + 1;
            *update = Update { after, versions, changes_words: update.changes_words || *changes_words };
        } else {
            updates.push(Update { after, versions: 1, changes_words: *changes_words });
        }
    }
    updates
}
