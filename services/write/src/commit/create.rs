//! Creates one product, once if the request has a key.

use catalog::NewProduct;
use sqlx::PgConnection;

use super::command::no_product;
use super::{Author, Done, Once, Outcome, Transaction, decide, moment, rows};
use crate::app::Primary;
use crate::error::WriteError;
use crate::store::changes::{self, Changes};
use crate::store::products::{self, WordsById};
use crate::store::{self, idempotency};

/// Tries with a key that others use too: each means that another request with it has just ended.
const ATTEMPTS_MAX: u32 = 3;

pub(crate) async fn create(primary: &Primary, new: NewProduct, author: &Author, once: Option<&Once>) -> Outcome {
    let Some(once) = once else { return try_create(primary, new, author, None).await };
    for _ in 0..ATTEMPTS_MAX {
        match create_once(primary, new.clone(), author, once).await {
            Err(WriteError::KeyInUse) => {}
            outcome => return outcome,
        }
    }
    Err(WriteError::KeyInUse)
}

async fn create_once(primary: &Primary, new: NewProduct, author: &Author, once: &Once) -> Outcome {
    let mut connection = primary.pool.acquire().await?;
    if let Some(first) = first_answer(&mut connection, author, once).await? {
        return first;
    }
    drop(connection);
    let created = try_create(primary, new, author, Some(once)).await;
    let Err(refusal @ WriteError::DuplicateSku) = created else { return created };
    keep(primary, author, once, refusal).await
}

async fn first_answer(connection: &mut PgConnection, author: &Author, once: &Once) -> sqlx::Result<Option<Outcome>> {
    let kept = idempotency::find(connection, &[once.claim(author)]).await?;
    let Some(first) = kept.into_values().next() else { return Ok(None) };
    let moment = moment(connection).await;
    Ok(Some(once.repeated(&first).map(|first| {
        let token = moment.token(first.product());
        (Done::Repeated(first), token)
    })))
}

/// One transaction.
async fn try_create(primary: &Primary, new: NewProduct, author: &Author, once: Option<&Once>) -> Outcome {
    let mut connection = primary.pool.acquire().await?;
    let mut transaction = Transaction::begin(primary, &mut connection).await?;
    let ids = products::reserve_ids(transaction.connection(), 1).await?;
    let id = *ids.first().ok_or(sqlx::Error::RowNotFound)?;
    let now = transaction.now().await?;
    let mut decided = decide::created(id, new, author, now);
    let done = Done::Created(decided.change.after.clone().expect("a created product exists"));
    let result = Ok(done.clone());
    let answers = once.map(|once| rows::answer(id, author, once, &result)).into_iter().collect();
    transaction.commit(std::slice::from_mut(&mut decided), WordsById::new(), now, answers).await?;
    let token = moment(&mut connection).await.token(done.product());
    Ok((done, token))
}

/// Keeps a refusal in a transaction of its own, since the one that was to create the product has failed.
async fn keep(primary: &Primary, author: &Author, once: &Once, refusal: WriteError) -> Outcome {
    let mut connection = primary.pool.acquire().await?;
    let answers = vec![rows::answer(no_product(), author, once, &Err(refusal.clone()))];
    let at = store::now(&mut connection).await?;
    let kept = Changes { at, updates: Vec::new(), texts: Vec::new(), versions: Vec::new(), answers };
    let (passed_over, _) = changes::commit(&mut connection, kept).await?;
    Err(if passed_over.is_empty() { refusal } else { WriteError::KeyInUse })
}
