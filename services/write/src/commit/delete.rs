//! Deletes one product: a tombstone stays, so that its id never returns.

use catalog::ProductId;
use freshness::Token;

use super::{Transaction, decide, moment};
use crate::app::Primary;
use crate::error::WriteError;
use crate::store::products;

/// Returns the tombstone's token.
pub(crate) async fn delete(primary: &Primary, id: ProductId) -> Result<Token, WriteError> {
    let mut connection = primary.pool.acquire().await?;
    let mut transaction = Transaction::begin(primary, &mut connection).await?;
    let locked = products::lock(transaction.connection(), &[id.get()]).await?;
    let (Some(before), Some(now)) = (locked.products.first(), locked.at) else { return Err(WriteError::NotFound(id)) };
    let mut decided = decide::deleted(before);
    transaction.commit(std::slice::from_mut(&mut decided), locked.words, now).await?;
    Ok(moment(&mut connection).await.token(Some((id, decided.change.version))))
}
