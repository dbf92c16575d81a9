//! Creates one product.

use catalog::{NewProduct, Product};
use freshness::Token;

use super::{Author, Transaction, decide, moment};
use crate::app::Primary;
use crate::error::WriteError;
use crate::store::products::{self, WordsById};

pub(crate) async fn create(
    primary: &Primary,
    new: NewProduct,
    author: &Author,
) -> Result<(Product, Token), WriteError> {
    let mut connection = primary.pool.acquire().await?;
    let mut transaction = Transaction::begin(primary, &mut connection).await?;
    let ids = products::reserve_ids(transaction.connection(), 1).await?;
    let id = *ids.first().ok_or(sqlx::Error::RowNotFound)?;
    let now = transaction.now().await?;
    let mut decided = decide::created(id, new, author, now);
    transaction.commit(std::slice::from_mut(&mut decided), WordsById::new(), now, Vec::new()).await?;
    let change = decided.change;
    let token = moment(&mut connection).await.token(Some((id, change.version)));
    Ok((change.after.expect("a created product exists"), token))
}
