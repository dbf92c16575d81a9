//! Commands that share a transaction: read, decided and written together, and each answered for itself.

use std::collections::HashSet;
use std::time::Duration;

use catalog::ProductId;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::timeout;

use super::command::{Command, Done, Outcome};
use super::decide::{self, Fold};
use super::{Transaction, committed, moment, to_be_written};
use crate::app::Primary;
use crate::counts;
use crate::error::WriteError;
use crate::store::fault::Fault;
use crate::store::products::{Found, WordsById};
use crate::store::{self, Moment, changes, idempotency, products};

/// Tries to find the answers under keys that others have taken: each try means that another request has just ended.
const ATTEMPTS_MAX: u32 = 3;
/// Longest time for a transaction, below the requests' own limit. Postgres ends sooner what is its own fault; this is for
/// one that has vanished.
const TRANSACTION_TIME_MAX: Duration = Duration::from_secs(8);

/// There is no outcome where the product was passed over.
pub(super) type Outcomes = Vec<Option<Outcome>>;

/// Stores commands, and tells whose they are what came of each. Those that the database refuses together are tried in
/// halves, so that a bad one fails alone. What is passed over of a product takes with it all that follows.
pub(super) async fn in_halves<T, F>(
    batch: Vec<(Command, T)>,
    store: impl Fn(Vec<Command>) -> F,
    mut tell: impl FnMut(Command, T, Option<Outcome>),
) where
    F: Future<Output = Result<Outcomes, WriteError>> + Send + 'static,
{
    let mut passed_over = HashSet::new();
    let mut runs = vec![batch];
    while let Some(run) = runs.pop() {
        let (late, mut run): (Vec<_>, Vec<_>) =
            run.into_iter().partition(|(command, _)| passed_over.contains(&command.id));
        for (command, whose) in late {
            tell(command, whose, None);
        }
        if run.is_empty() {
            continue;
        }
        let commands = run.iter().map(|(command, _)| command.clone()).collect();
        // A task of its own: a panic costs this run and no other.
        let stored = tokio::spawn(store(commands)).await;
        match stored.unwrap_or_else(|panic| Err(lost(&panic))) {
            Ok(outcomes) => {
                for ((command, whose), outcome) in run.into_iter().zip(outcomes) {
                    if outcome.is_none() {
                        passed_over.insert(command.id);
                    }
                    tell(command, whose, outcome);
                }
            }
            Err(error) if run.len() > 1 && is_undone(&error) => {
                let second = run.split_off(run.len() / 2);
                runs.extend([second, run]);
            }
            Err(error) => {
                for (command, whose) in run {
                    tell(command, whose, Some(Err(error.clone())));
                }
            }
        }
    }
}

pub(super) async fn in_time<T>(transaction: impl Future<Output = Result<T, WriteError>>) -> Result<T, WriteError> {
    let timed_out = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into();
    timeout(TRANSACTION_TIME_MAX, transaction).await.unwrap_or_else(|_| Err(timed_out()))
}

/// Two round trips: one that reads, and one that writes and commits.
pub(super) async fn store(
    primary: &Primary,
    connection: &mut PgConnection,
    commands: &[Command],
) -> Result<Outcomes, WriteError> {
    let found = products::find(connection, &ids(commands)).await?;
    let (mut fold, words, at) = decided(connection, commands, found).await?;
    let to_be_written =
        to_be_written(connection, &mut fold.decided, words, WordsById::new(), at, std::mem::take(&mut fold.answers))
            .await?;
    if to_be_written.is_empty() {
        return Ok(outcomes(commands, fold, &HashSet::new(), store::moment(connection).await?));
    }
    let (passed_over, moment) = changes::commit(connection, to_be_written).await?;
    let passed_over = HashSet::from_iter(passed_over);
    let done = fold.decided.iter().filter(|decided| !passed_over.contains(&decided.change.id));
    counts::combined(done.clone().count());
    committed(primary, done);
    Ok(outcomes(commands, fold, &passed_over, moment))
}

/// The same of products that are waited for, and so passed over only if a key was taken meanwhile: then the answer is there.
pub(super) async fn store_locked(primary: &Primary, commands: &[Command]) -> Result<Outcomes, WriteError> {
    for _ in 0..ATTEMPTS_MAX {
        let mut connection = primary.pool.acquire().await?;
        let mut transaction = Transaction::begin(primary, &mut connection).await?;
        let found = products::lock(transaction.connection(), &ids(commands)).await?;
        let (mut fold, words, at) = decided(transaction.connection(), commands, found).await?;
        if fold.decided.is_empty() && fold.answers.is_empty() {
            transaction.abandon().await?;
        } else {
            let answers = std::mem::take(&mut fold.answers);
            match transaction.commit(&mut fold.decided, words, at, answers).await {
                Err(WriteError::KeyInUse) => continue,
                done => done?,
            }
            counts::combined(fold.decided.len());
        }
        return Ok(outcomes(commands, fold, &HashSet::new(), moment(&mut connection).await));
    }
    Err(WriteError::KeyInUse)
}

pub(super) fn ids(commands: &[Command]) -> Vec<i64> {
    let mut ids: Vec<i64> = commands.iter().map(|command| command.id.get()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// What the commands come to, by the answers that are kept; with the words of what was found, and the moment at which.
pub(super) async fn decided(
    connection: &mut PgConnection,
    commands: &[Command],
    found: Found,
) -> Result<(Fold, WordsById, OffsetDateTime), WriteError> {
    let claims: Vec<_> = commands.iter().filter_map(Command::claim).collect();
    let kept = idempotency::find(connection, &claims).await?;
    let at = match found.at {
        Some(at) => at,
        None => store::now(connection).await?,
    };
    Ok((decide::fold(commands, found.products, kept, at), found.words, at))
}

pub(super) fn outcomes(commands: &[Command], fold: Fold, passed_over: &HashSet<ProductId>, moment: Moment) -> Outcomes {
    let told = |done: Done| {
        let token = moment.token(done.product());
        (done, token)
    };
    let results = commands.iter().zip(fold.results);
    results.map(|(command, result)| (!passed_over.contains(&command.id)).then(|| result.map(told))).collect()
}

/// Whether nothing was stored for sure: what Postgres itself refuses, it has not done, and rows are read before anything
/// is committed.
pub(super) fn is_undone(error: &WriteError) -> bool {
    let WriteError::Database(error) = error else { return false };
    match &**error {
        sqlx::Error::Database(_) => Fault::of(error) != Fault::Away,
        sqlx::Error::RowNotFound | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

fn lost(panic: &tokio::task::JoinError) -> WriteError {
    tracing::error!(%panic, "patches_lost");
    WriteError::Lost
}
