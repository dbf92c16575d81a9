//! Gives many products, known by their skus, new content: creates those that do not exist, in one transaction a batch.

use std::collections::{HashMap, HashSet};

use catalog::{NewProduct, PatchFault, Product, ProductId, ProductPatch, Sku, Version};

use super::{Author, Transaction, decide, moment};
use crate::app::Primary;
use crate::error::WriteError;
use crate::store::fault::Fault;
use crate::store::{Moment, products};

/// How often a batch is tried while other writers create the same skus: each retry finds what they have committed,
/// so that more than one or two need a new writer every time.
const ATTEMPTS_MAX: u32 = 5;

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
pub(crate) async fn upsert(primary: &Primary, products: &[NewProduct], author: &Author) -> BatchResult {
    let mut done = Vec::with_capacity(products.len());
    let mut moments = Vec::new();
    let mut waiting = distinct_runs(products);
    waiting.reverse();
    while let Some(run) = waiting.pop() {
        match try_run(primary, run, author).await {
            Ok((stored, moment)) => {
                done.extend(stored.into_iter().map(Ok));
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

async fn try_run(
    primary: &Primary,
    run: &[NewProduct],
    author: &Author,
) -> Result<(Vec<Upserted>, Moment), WriteError> {
    let mut attempt = 1;
    loop {
        match store(primary, run, author).await {
            Err(error) if attempt < ATTEMPTS_MAX && is_conflict(&error) => attempt += 1,
            result => return result,
        }
    }
}

/// One transaction.
async fn store(primary: &Primary, run: &[NewProduct], author: &Author) -> Result<(Vec<Upserted>, Moment), WriteError> {
    let mut connection = primary.pool.acquire().await?;
    let mut transaction = Transaction::begin(primary, &mut connection).await?;
    let skus: Vec<&str> = run.iter().map(|new| new.sku.as_str()).collect();
    let locked = products::lock_by_sku(transaction.connection(), &skus).await?;
    let existing: HashMap<&Sku, &Product> = locked.products.iter().map(|product| (&product.sku, product)).collect();
    let mut ids = match run.len() - existing.len() {
        0 => Vec::new(),
        missing => products::reserve_ids(transaction.connection(), missing).await?,
    }
    .into_iter();
    let now = transaction.now().await?;

    let mut changes = Vec::with_capacity(run.len());
    let mut stored = Vec::with_capacity(run.len());
    for new in run.iter().cloned() {
        stored.push(if let Some(before) = existing.get(&new.sku) {
            let decided = decide::patched(before, &ProductPatch::from(new), author, now).map_err(misfit)?;
            let version = decided.as_ref().map_or(before.version, |decided| decided.change.version);
            changes.extend(decided);
            Upserted { id: before.id, version, is_new: false }
        } else {
            let id = ids.next().expect("there is an id for each sku that does not exist");
            let decided = decide::created(id, new, author, now);
            let version = decided.change.version;
            changes.push(decided);
            Upserted { id, version, is_new: true }
        });
    }
    if changes.is_empty() {
        transaction.abandon().await?;
    } else {
        transaction.commit(&mut changes, locked.words, now, Vec::new()).await?;
    }
    Ok((stored, moment(&mut connection).await))
}

/// Cuts the products where a sku repeats, so that each of its contents gets a version of its own.
fn distinct_runs(products: &[NewProduct]) -> Vec<&[NewProduct]> {
    let mut runs = Vec::new();
    let mut seen = HashSet::new();
    let mut from = 0;
    for (at, product) in products.iter().enumerate() {
        if !seen.insert(&product.sku) {
            runs.push(&products[from..at]);
            seen = HashSet::from([&product.sku]);
            from = at;
        }
    }
    if from < products.len() {
        runs.push(&products[from..]);
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
        WriteError::DuplicateSku => true,
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
        let products: Vec<NewProduct> = ["A", "B", "A", "A", "C"]
            .map(|sku| NewProduct::parse(format!(r#"{{"sku":"{sku}","name":"x","price":"1"}}"#).as_bytes()))
            .into_iter()
            .collect::<Result<_, _>>()
            .expect("valid");
        let lengths: Vec<usize> = distinct_runs(&products).into_iter().map(<[_]>::len).collect();
        assert_eq!(lengths, [2, 1, 2]);
        assert!(distinct_runs(&[]).is_empty());
    }
}
