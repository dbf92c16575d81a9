//! Patches one product.

use catalog::{Product, ProductId, ProductPatch};

use super::{Transaction, decide};
use crate::app::App;
use crate::error::WriteError;
use crate::store::products;

/// The product after the patch; the same version as before if the patch changes nothing.
pub(crate) async fn patch(app: &App, id: ProductId, patch: &ProductPatch) -> Result<Product, WriteError> {
    let mut transaction = Transaction::begin(app).await?;
    let before = products::lock(transaction.connection(), id).await?.ok_or(WriteError::NotFound(id))?;
    let now = transaction.now().await?;
    let Some(change) = decide::patched(&before, patch, now)? else {
        transaction.abandon().await?;
        return Ok(before);
    };
    transaction.commit(std::slice::from_ref(&change), now).await?;
    Ok(change.after.expect("a patched product exists"))
}
