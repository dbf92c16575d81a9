//! Patches one product in a transaction of its own, which waits for whoever holds the product.

use catalog::{Product, ProductId, ProductPatch};
use freshness::Token;

use super::{Transaction, decide, moment};
use crate::app::Primary;
use crate::error::WriteError;
use crate::store::products;

/// The product after the patch; the same version as before if the patch changes nothing.
pub(super) async fn patch(
    primary: &Primary,
    id: ProductId,
    patch: &ProductPatch,
) -> Result<(Product, Token), WriteError> {
    let mut connection = primary.pool.acquire().await?;
    let mut transaction = Transaction::begin(primary, &mut connection).await?;
    let before = products::lock(transaction.connection(), id).await?.ok_or(WriteError::NotFound(id))?;
    let now = transaction.now().await?;
    let after = if let Some(change) = decide::patched(&before, patch, now)? {
        transaction.commit(std::slice::from_ref(&change), now).await?;
        change.after.expect("a patched product exists")
    } else {
        transaction.abandon().await?;
        before
    };
    let token = moment(&mut connection).await.token(Some((id, after.version)));
    Ok((after, token))
}
