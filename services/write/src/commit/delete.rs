//! Deletes one product: a tombstone stays, so that its id never returns.

use catalog::ProductId;

use super::{Transaction, decide};
use crate::app::App;
use crate::error::WriteError;
use crate::store::products;

pub(crate) async fn delete(app: &App, id: ProductId) -> Result<(), WriteError> {
    let mut transaction = Transaction::begin(app).await?;
    let before = products::lock(transaction.connection(), id).await?.ok_or(WriteError::NotFound(id))?;
    let now = transaction.now().await?;
    transaction.commit(&[decide::deleted(&before)], now).await
}
