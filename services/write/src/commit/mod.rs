//! Every change of the catalogue: one transaction that decides, and writes products, outbox, history and kept answers together.
//!
//! Invariant: [`changes`] is the only place that writes any of them, so an event exists if and only if its
//! change committed. Locks are taken in one order everywhere: the rows that exist by id, then new skus, then idempotency keys.

mod bulk;
mod combine;
mod command;
mod create;
mod decide;
mod rows;
mod together;
mod upsert;

use catalog::Product;
use events::ChangeKind;
use sqlx::{Connection, PgConnection, Postgres};
use time::OffsetDateTime;

use crate::app::Primary;
use crate::counts;
use crate::error::WriteError;
use crate::store::changes::{AnswerRow, Changes, TextsRow};
use crate::store::products::WordsById;
use crate::store::{self, Moment, changes, products};
use decide::Decided;

pub(crate) use bulk::{BulkLine, patch_all};
pub(crate) use combine::Patches;
pub(crate) use command::{Action, Author, Command, Done, IdempotencyKey, Once, Outcome, ProductLine};
pub(crate) use create::create;
pub(crate) use upsert::{BatchResult, NewLine, Upserted, upsert};

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

    /// Writes what was decided at `now` of locked products that were found by `words`, and commits. An idempotency key that was
    /// taken meanwhile is [`WriteError::KeyInUse`], and nothing is done.
    async fn commit(
        mut self,
        decided: &mut [Decided],
        words: WordsById,
        now: OffsetDateTime,
        answers: Vec<AnswerRow>,
    ) -> Result<(), WriteError> {
        let created: Vec<&Product> = decided
            .iter()
            .filter(|decided| decided.change.kind() == ChangeKind::Created)
            .filter_map(|decided| decided.change.after.as_ref())
            .collect();
        let mut written = WordsById::new();
        if !created.is_empty() {
            written = products::insert(&mut self.inner, &created).await?;
        }
        let changes = to_be_written(&mut self.inner, decided, words, written, now, answers).await?;
        // The products are locked, and as they were decided of: only a key can stand in the way.
        if !changes::apply(&mut self.inner, changes).await?.is_empty() {
            self.inner.rollback().await?;
            return Err(WriteError::KeyInUse);
        }
        self.inner.commit().await?;
        committed(self.primary, &*decided);
        Ok(())
    }

    /// Gives the locks back at once, where nothing is to be changed.
    async fn abandon(self) -> sqlx::Result<()> {
        self.inner.rollback().await
    }
}

/// What there is to write of all that was decided; `words` is what the products were found by, `written` those that are new.
async fn to_be_written(
    connection: &mut PgConnection,
    decided: &mut [Decided],
    mut words: WordsById,
    mut written: WordsById,
    at: OffsetDateTime,
    answers: Vec<AnswerRow>,
) -> sqlx::Result<Changes> {
    let with_other_texts = decide::with_other_texts(decided);
    let texts: Vec<TextsRow> = with_other_texts.iter().copied().map(TextsRow::new).collect();
    if !texts.is_empty() {
        let skus: Vec<&str> = with_other_texts.iter().map(|product| product.sku.as_str()).collect();
        written.extend(products::words_of_texts(connection, &texts, &skus).await?);
    }
    decide::note_words(decided, &mut words, &mut written);
    let versions = decided.iter().map(rows::change).collect();
    Ok(Changes { at, updates: rows::updates(decided), texts, versions, answers })
}

/// Tells whoever waits for it of a commit that has left events in the outbox.
fn committed<'a>(primary: &Primary, decided: impl IntoIterator<Item = &'a Decided>) {
    let mut decided = decided.into_iter().peekable();
    if decided.peek().is_some() {
        primary.committed.notify_one();
    }
    for Decided { change, .. } in decided {
        counts::change(change.kind());
    }
}

/// The moment of a commit, or of finding that nothing is to be changed, on the same connection: another one may lead to
/// another server by now.
///
/// A write whose moment cannot be read is stored all the same: its token then asks for the primary.
async fn moment(connection: &mut PgConnection) -> Moment {
    store::moment(connection).await.inspect_err(|error| tracing::warn!(%error, "token_not_made")).unwrap_or_default()
}

/// The moment on any connection, where nothing was stored.
pub(crate) async fn moment_now(primary: &Primary) -> Moment {
    match primary.pool.acquire().await {
        Ok(mut connection) => moment(&mut connection).await,
        Err(_) => Moment::default(),
    }
}
