//! Combines patches: those that arrive while one transaction commits share the next one.
//!
//! Nothing waits on purpose, so that a lone patch is as fast as ever; under load, the cost of a transaction is shared by
//! all that came meanwhile. A product that another transaction holds is not waited for here: its patches go the slow way,
//! one transaction each, and so do all patches of a batch that failed without a trace.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::{Product, ProductId, ProductPatch};
use freshness::Token;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::{Transaction, decide, moment, patch};
use crate::app::Primary;
use crate::counts;
use crate::error::WriteError;
use crate::store::fault::Fault;
use crate::store::products;

/// Patches of one transaction: some tens of milliseconds at most.
const BATCH_MAX: usize = 256;
/// Patches that may wait: more would wait for longer than their clients do.
const WAITING_MAX: usize = 4_096;
/// Longest time for a batch. The database ends whatever is its own fault before; this is for one that has vanished.
const BATCH_TIME_MAX: Duration = Duration::from_secs(15);

type Outcome = Result<(Product, Token), WriteError>;

/// The way of a patch of one product into the database.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    waiting: mpsc::Sender<Waiting>,
}

struct Waiting {
    id: ProductId,
    patch: ProductPatch,
    answer: oneshot::Sender<Outcome>,
}

impl Patches {
    /// Stores what is sent until every clone of the result is gone.
    pub(crate) fn begin(primary: Primary) -> Self {
        let (sender, mut receiver) = mpsc::channel(WAITING_MAX);
        // The other half of the connections is left to whoever waits for nothing.
        let places = (primary.pool.options().get_max_connections() / 2).max(1);
        let slow_places = Arc::new(Semaphore::new(places as usize));
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while receiver.recv_many(&mut batch, BATCH_MAX).await > 0 {
                let batch = std::mem::take(&mut batch);
                // A task of its own: a panic costs this batch and no other.
                let stored = tokio::spawn(store_all(primary.clone(), Arc::clone(&slow_places), batch)).await;
                if let Err(error) = stored {
                    tracing::error!(%error, "patches_lost");
                }
            }
        });
        Self { waiting: sender }
    }

    /// The product after the patch; the same version as before if the patch changes nothing.
    pub(crate) async fn patch(&self, id: ProductId, patch: ProductPatch) -> Outcome {
        let (answer, outcome) = oneshot::channel();
        self.waiting.try_send(Waiting { id, patch, answer }).map_err(|_| WriteError::Busy)?;
        outcome.await.unwrap_or(Err(WriteError::Lost))
    }
}

async fn store_all(primary: Primary, slow_places: Arc<Semaphore>, mut batch: Vec<Waiting>) {
    // Nobody would hear of these any more; their clients have been told that they may or may not be stored.
    batch.retain(|waiting| !waiting.answer.is_closed());
    let stored = timeout(BATCH_TIME_MAX, store(&primary, &batch));
    let outcomes = match stored.await.unwrap_or_else(|_| Err(timed_out())) {
        Ok(outcomes) => outcomes,
        Err(error) if is_undone(&error) => batch.iter().map(|_| None).collect(),
        Err(error) => batch.iter().map(|_| Some(Err(error.clone()))).collect(),
    };
    let mut slow: HashMap<ProductId, Vec<Waiting>> = HashMap::new();
    for (waiting, outcome) in batch.into_iter().zip(outcomes) {
        match outcome {
            // Whoever has gone meanwhile is not told.
            Some(outcome) => drop(waiting.answer.send(outcome)),
            None => slow.entry(waiting.id).or_default().push(waiting),
        }
    }
    for group in slow.into_values() {
        tokio::spawn(store_each(primary.clone(), Arc::clone(&slow_places), group));
    }
}

/// One transaction. There is no outcome for the products that are held by others, or not there.
async fn store(primary: &Primary, batch: &[Waiting]) -> Result<Vec<Option<Outcome>>, WriteError> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut ids: Vec<i64> = batch.iter().map(|waiting| waiting.id.get()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut connection = primary.pool.acquire().await?;
    let mut transaction = Transaction::begin(primary, &mut connection).await?;
    let free = products::lock_free(transaction.connection(), &ids).await?;
    let now = transaction.now().await?;

    let mut products: HashMap<ProductId, Product> = free.into_iter().map(|product| (product.id, product)).collect();
    let mut changes = Vec::with_capacity(batch.len());
    let mut patched = Vec::with_capacity(batch.len());
    for waiting in batch {
        let Some(product) = products.get_mut(&waiting.id) else {
            patched.push(None);
            continue;
        };
        patched.push(Some(decide::patched(product, &waiting.patch, now).map(|change| {
            if let Some(after) = change.as_ref().and_then(|change| change.after.as_ref()) {
                product.clone_from(after);
            }
            changes.extend(change);
            product.clone()
        })));
    }
    if changes.is_empty() {
        transaction.abandon().await?;
    } else {
        transaction.commit(&changes, now).await?;
        counts::combined(changes.len());
    }
    let moment = moment(&mut connection).await;
    let outcome = |product: Product| {
        let token = moment.token(Some((product.id, product.version)));
        (product, token)
    };
    Ok(patched.into_iter().map(|patched| Some(patched?.map(outcome).map_err(WriteError::from))).collect())
}

/// The slow way of one product's patches, in their order.
async fn store_each(primary: Primary, places: Arc<Semaphore>, group: Vec<Waiting>) {
    for Waiting { id, patch, answer } in group {
        if answer.is_closed() {
            continue;
        }
        let Ok(_place) = places.acquire().await else { return };
        let stored = timeout(BATCH_TIME_MAX, patch::patch(&primary, id, &patch)).await;
        drop(answer.send(stored.unwrap_or_else(|_| Err(timed_out()))));
    }
}

/// Whether nothing was stored for sure, and patches one by one may fare better.
fn is_undone(error: &WriteError) -> bool {
    match error {
        // What Postgres itself refuses, it has not done; the same for a row that was not there.
        WriteError::Database(error) => {
            matches!(**error, sqlx::Error::Database(_) | sqlx::Error::RowNotFound) && Fault::of(error) != Fault::Away
        }
        _ => false,
    }
}

fn timed_out() -> WriteError {
    sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into()
}
