//! What a transaction writes: products, events, history and kept answers, all by one function of the database.

use catalog::{Product, ProductId, Version};
use events::{Epoch, Position};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Moment, unsigned};

/// All that was decided at one moment.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) at: OffsetDateTime,
    pub(crate) updates: Vec<UpdateRow>,
    pub(crate) texts: Vec<TextsRow>,
    pub(crate) versions: Vec<ChangeRow>,
    pub(crate) answers: Vec<AnswerRow>,
}

/// What a product becomes that has `version_before`.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "product_update")]
pub(crate) struct UpdateRow {
    id: i64,
    version_before: i64,
    version: i64,
    image_url: Option<String>,
    price: i64,
    currency: String,
    stock: i32,
    is_deleted: bool,
}

/// The texts that a product gets, where they change: whatever names them has them parsed anew.
#[derive(Clone, Debug, sqlx::Type)]
#[sqlx(type_name = "product_texts")]
pub(crate) struct TextsRow {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) brand: Option<String>,
    pub(super) category: Option<String>,
}

/// One version of one product: its event and what is kept of it.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "product_change")]
pub(crate) struct ChangeRow {
    pub(crate) product_id: i64,
    pub(crate) version: i64,
    pub(crate) event_id: Uuid,
    pub(crate) kind: String,
    /// The event's data as it will be published.
    pub(crate) data: String,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) bulk_id: Option<Uuid>,
    pub(crate) price_from: Option<i64>,
    pub(crate) currency_from: Option<String>,
    pub(crate) stock_from: Option<i32>,
    pub(crate) price_to: Option<i64>,
    pub(crate) currency_to: Option<String>,
    pub(crate) stock_to: Option<i32>,
}

/// The first answer to a request about `of_product` that has an idempotency key.
#[derive(Debug, sqlx::Type)]
#[sqlx(type_name = "kept_answer")]
pub(crate) struct AnswerRow {
    pub(crate) of_product: i64,
    pub(crate) actor: String,
    pub(crate) key: String,
    pub(crate) line: i64,
    pub(crate) request: Vec<u8>,
    pub(crate) status: i16,
    pub(crate) body: String,
    pub(crate) product_id: Option<i64>,
    pub(crate) version: Option<i64>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.answers.is_empty()
    }
}

impl UpdateRow {
    pub(crate) fn new(after: &Product, version_before: i64) -> Self {
        Self {
            id: after.id.get(),
            version_before,
            version: after.version.get(),
            image_url: after.image_url.as_ref().map(|url| url.as_str().to_owned()),
            price: after.price.minor(),
            currency: after.currency.code().to_owned(),
            stock: after.stock.get(),
            is_deleted: false,
        }
    }

    /// The same product at this version, as a tombstone.
    pub(crate) fn deleted_at(self, version: Version) -> Self {
        Self { version: version.get(), is_deleted: true, ..self }
    }
}

impl TextsRow {
    pub(crate) fn new(product: &Product) -> Self {
        Self {
            id: product.id.get(),
            name: product.name.as_str().to_owned(),
            description: product.description.as_ref().map(|text| text.as_str().to_owned()),
            brand: product.brand.as_ref().map(|text| text.as_str().to_owned()),
            category: product.category.as_ref().map(|text| text.as_str().to_owned()),
        }
    }
}

/// What was passed over, because it had changed since, is held by another transaction, or a key about it is taken.
pub(crate) type PassedOver = Vec<ProductId>;

/// Writes everything that belongs to a product or nothing of it, in the transaction of the caller.
pub(crate) async fn apply(connection: &mut PgConnection, changes: Changes) -> sqlx::Result<PassedOver> {
    let passed_over: Vec<i64> = sqlx::query_scalar("select apply_changes($1, $2, $3, $4, $5)")
        .bind(changes.at)
        .bind(changes.updates)
        .bind(changes.texts)
        .bind(changes.versions)
        .bind(changes.answers)
        .fetch_one(connection)
        .await?;
    ids(passed_over)
}

/// The same in a transaction of its own, which is committed: one round trip, the moment of the commit included.
pub(crate) async fn commit(connection: &mut PgConnection, changes: Changes) -> sqlx::Result<(PassedOver, Moment)> {
    let (passed_over, epoch, position): (Vec<i64>, i64, i64) =
        sqlx::query_as("call commit_changes($1, $2, $3, $4, $5, null, null, null)")
            .bind(changes.at)
            .bind(changes.updates)
            .bind(changes.texts)
            .bind(changes.versions)
            .bind(changes.answers)
            .fetch_one(connection)
            .await
            .map_err(outcome_unknown)?;
    let moment = Moment {
        epoch: Epoch(unsigned(epoch).map_err(outcome_unknown)?),
        position: Position(unsigned(position).map_err(outcome_unknown)?),
    };
    Ok((ids(passed_over).map_err(outcome_unknown)?, moment))
}

/// What cannot be read of the answer was committed before: unlike a row that cannot be read, it must not be tried again.
fn outcome_unknown(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::Database(_) | sqlx::Error::Io(_) => error,
        unreadable => sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::InvalidData, unreadable)),
    }
}

fn ids(numbers: Vec<i64>) -> sqlx::Result<PassedOver> {
    let id = |number: i64| ProductId::try_from(number).map_err(|fault| sqlx::Error::Decode(fault.into()));
    numbers.into_iter().map(id).collect()
}
