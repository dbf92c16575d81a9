//! Creates one product.

use catalog::{NewProduct, Product};

use super::{Transaction, decide};
use crate::app::App;
use crate::error::WriteError;
use crate::store::products;

pub(crate) async fn create(app: &App, new: NewProduct) -> Result<Product, WriteError> {
    let mut transaction = Transaction::begin(app).await?;
    let ids = products::reserve_ids(transaction.connection(), 1).await?;
    let id = *ids.first().ok_or(sqlx::Error::RowNotFound)?;
    let now = transaction.now().await?;
    let change = decide::created(id, new, now);
    transaction.commit(std::slice::from_ref(&change), now).await?;
    Ok(change.after.expect("a created product exists"))
}
