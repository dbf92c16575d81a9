//! Deletes one product: a tombstone stays, so that its id never returns.

use catalog::{ProductId, Version};

use super::{Transaction, decide};
use crate::app::App;
use crate::error::WriteError;
use crate::store::products;

/// Returns the tombstone's version.
pub(crate) async fn delete(app: &App, id: ProductId) -> Result<Version, WriteError> {
    let mut transaction = Transaction::begin(app).await?;
    let before = products::lock(transaction.connection(), id).await?.ok_or(WriteError::NotFound(id))?;
    let now = transaction.now().await?;
    let change = decide::deleted(&before);
    transaction.commit(std::slice::from_ref(&change), now).await?;
    Ok(change.version)
}
