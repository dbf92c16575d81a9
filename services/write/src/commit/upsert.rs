//! Gives many products, known by their skus, new content: creates those that do not exist, in one transaction a batch.

use std::collections::{HashMap, HashSet};

use axum::http::StatusCode;
use catalog::{NewProduct, PatchFault, Product, ProductId, ProductPatch, Sku, Version};

use super::command::{Done, Once};
use super::{Author, Transaction, decide, moment, rows};
use crate::app::Primary;
use crate::error::WriteError;
use crate::store::fault::Fault;
use crate::store::idempotency::{self, Claim, Kept};
use crate::store::{Moment, products};

/// How often a batch is tried while other writers create the same skus or use the same key: each retry finds what they have
/// committed, so that more than one or two need a new writer every time.
const ATTEMPTS_MAX: u32 = 5;

/// A product, and under which key it is stored once.
#[derive(Clone, Debug)]
pub(crate) struct NewLine {
    pub(crate) new: NewProduct,
    pub(crate) once: Option<Once>,
}

/// What became of one product.
pub(crate) struct Upserted {
    pub id: ProductId,
    pub version: Version,
    pub is_new: bool,
}

/// What became of a batch.
pub(crate) struct BatchResult {
    /// One for each product from the first on, in order.
    pub done: Vec<Result<Upserted, WriteError>>,
    /// Why those after the last of `done` were not stored, if there are any.
    pub failure: Option<WriteError>,
    /// Of each transaction.
    pub moments: Vec<Moment>,
}

/// Stores the products in order. One that cannot be stored fails alone; when the database fails, the rest is left.
pub(crate) async fn upsert(primary: &Primary, lines: &[NewLine], author: &Author) -> BatchResult {
    let mut done = Vec::with_capacity(lines.len());
    let mut moments = Vec::new();
    let mut waiting = distinct_runs(lines);
    waiting.reverse();
    while let Some(run) = waiting.pop() {
        match try_run(primary, run, author).await {
            Ok((stored, moment)) => {
                done.extend(stored);
                moments.push(moment);
            }
            Err(error) if is_of_the_data(&error) && run.len() == 1 => done.push(Err(error)),
            Err(error) if is_of_the_data(&error) => {
                let (first, second) = run.split_at(run.len() / 2);
                waiting.extend([second, first]);
            }
            Err(error) => return BatchResult { done, failure: Some(error), moments },
        }
    }
    BatchResult { done, failure: None, moments }
}

/// What became of each product of a transaction. Only one whose key was used for another request is not stored.
type Stored = Vec<Result<Upserted, WriteError>>;

async fn try_run(primary: &Primary, run: &[NewLine], author: &Author) -> Result<(Stored, Moment), WriteError> {
    let mut attempt = 1;
    loop {
        match store(primary, run, author).await {
            Err(error) if attempt < ATTEMPTS_MAX && is_conflict(&error) => attempt += 1,
            result => return result,
        }
    }
}

/// One transaction.
async fn store(primary: &Primary, run: &[NewLine], author: &Author) -> Result<(Stored, Moment), WriteError> {
    let mut connection = primary.pool.acquire().await?;
    let mut transaction = Transaction::begin(primary, &mut connection).await?;
    let skus: Vec<&str> = run.iter().map(|line| line.new.sku.as_str()).collect();
    let locked = products::lock_by_sku(transaction.connection(), &skus).await?;
    let existing: HashMap<&Sku, &Product> = locked.products.iter().map(|product| (&product.sku, product)).collect();
    let kept = kept(&mut transaction, run, author).await?;
    let mut ids = match run.len() - existing.len() {
        0 => Vec::new(),
        missing => products::reserve_ids(transaction.connection(), missing).await?,
    }
    .into_iter();
    let now = transaction.now().await?;

    let (mut changes, mut answers) = (Vec::with_capacity(run.len()), Vec::new());
    let mut stored = Vec::with_capacity(run.len());
    for NewLine { new, once } in run.iter().cloned() {
        if let Some((once, first)) = once.as_ref().and_then(|once| Some((once, kept.get(&once.claim(author))?))) {
            stored.push(once.repeated(first).and_then(|first| Upserted::repeated(&first)));
            continue;
        }
        let (done, decided) = if let Some(before) = existing.get(&new.sku) {
            let decided = decide::patched(before, &ProductPatch::from(new), author, now).map_err(misfit)?;
            let after = decided.as_ref().and_then(|decided| decided.change.after.as_ref()).unwrap_or(before);
            (Done::Patched(after.clone()), decided)
        } else {
            let id = ids.next().expect("there is an id for each sku that does not exist");
            let decided = decide::created(id, new, author, now);
            (Done::Created(decided.change.after.clone().expect("a created product exists")), Some(decided))
        };
        changes.extend(decided);
        let (id, version) = done.product().expect("it is there");
        stored.push(Ok(Upserted { id, version, is_new: matches!(done, Done::Created(_)) }));
        answers.extend(once.map(|once| rows::answer(id, author, &once, &Ok(done))));
    }
    if changes.is_empty() && answers.is_empty() {
        transaction.abandon().await?;
    } else {
        transaction.commit(&mut changes, locked.words, now, answers).await?;
    }
    Ok((stored, moment(&mut connection).await))
}

async fn kept(
    transaction: &mut Transaction<'_>,
    run: &[NewLine],
    author: &Author,
) -> sqlx::Result<HashMap<Claim, Kept>> {
    let claims: Vec<Claim> = run.iter().filter_map(|line| Some(line.once.as_ref()?.claim(author))).collect();
    idempotency::find(transaction.connection(), &claims).await
}

impl Upserted {
    /// As the first answer says.
    fn repeated(first: &Kept) -> Result<Self, WriteError> {
        let (id, version) = first.product().ok_or(sqlx::Error::RowNotFound)?;
        Ok(Self { id, version, is_new: first.status() == StatusCode::CREATED })
    }
}

/// Cuts the products where a sku repeats, so that each of its contents gets a version of its own.
fn distinct_runs(lines: &[NewLine]) -> Vec<&[NewLine]> {
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    let mut from = 0;
    for (at, NewLine { new, .. }) in lines.iter().enumerate() {
        if !seen.insert(&new.sku) {
            runs.push(&lines[from..at]);
            seen = HashSet::from([&new.sku]);
            from = at;
        }
    }
    if from < lines.len() {
        runs.push(&lines[from..]);
    }
    runs
}

/// A whole product takes its own price and stock, so only a field can be at fault.
fn misfit(fault: PatchFault) -> WriteError {
    match fault {
        PatchFault::Field(fault) => fault.into(),
        PatchFault::BelowZero { .. } => unreachable!("a whole product names its stock"),
    }
}

/// Another writer has just created one of the skus, or stood in the way.
fn is_conflict(error: &WriteError) -> bool {
    match error {
        WriteError::DuplicateSku | WriteError::KeyInUse => true,
        WriteError::Database(error) => Fault::of(error) == Fault::Conflict,
        _ => false,
    }
}

fn is_of_the_data(error: &WriteError) -> bool {
    match error {
        WriteError::DuplicateSku | WriteError::Refused(_) => true,
        WriteError::Database(error) => Fault::of(error) == Fault::Data,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_cut_where_a_sku_repeats() {
        let lines = ["A", "B", "A", "A", "C"].map(|sku| {
            let json = format!(r#"{{"sku":"{sku}","name":"x","price":"1"}}"#);
            NewLine { new: NewProduct::parse(json.as_bytes()).expect("valid"), once: None }
        });
        let lengths: Vec<usize> = distinct_runs(&lines).into_iter().map(<[_]>::len).collect();
        assert_eq!(lengths, [2, 1, 2]);
        assert!(distinct_runs(&[]).is_empty());
    }
}
