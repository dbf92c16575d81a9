//! The table `product_history`: every price and every stock that a product had.

use catalog::{Currency, Price, ProductId, Stock, Version};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// One change of a price or a stock.
#[derive(Clone, Debug)]
pub(crate) struct PastChange {
    pub(crate) product_id: ProductId,
    pub(crate) version: Version,
    pub(crate) changed_at: OffsetDateTime,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    /// The import or bulk patch that it was part of.
    pub(crate) bulk_id: Option<Uuid>,
    /// There is none before the product was created.
    pub(crate) from: Option<Offer>,
    /// There is none after it was deleted.
    pub(crate) to: Option<Offer>,
}

/// What a product is sold at, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) price: Price,
    pub(crate) currency: Currency,
    pub(crate) stock: Stock,
}

struct Row {
    product_id: i64,
    version: i64,
    changed_at: OffsetDateTime,
    actor: String,
    reason: Option<String>,
    bulk_id: Option<Uuid>,
    price_from: Option<i64>,
    currency_from: Option<String>,
    stock_from: Option<i32>,
    price_to: Option<i64>,
    currency_to: Option<String>,
    stock_to: Option<i32>,
}

/// A row that someone wrote past this code.
#[derive(Debug, thiserror::Error)]
#[error("the history of product {product_id} holds at version {version} what is no price or stock")]
struct CorruptRow {
    product_id: i64,
    version: i64,
}

/// Whether a product ever had this id.
pub(crate) async fn was_there(connection: &mut PgConnection, id: ProductId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select exists (select from products where id = $1) as "was_there!""#, id.get())
        .fetch_one(connection)
        .await
}

/// The last changes of a product below a version, or at all, the newest first.
pub(crate) async fn of_product(
    connection: &mut PgConnection,
    id: ProductId,
    below: Option<Version>,
    rows_max: i64,
) -> sqlx::Result<Vec<PastChange>> {
    let rows = sqlx::query_as!(
        Row,
        "select product_id, version, changed_at, actor, reason, bulk_id,
                price_from, currency_from, stock_from, price_to, currency_to, stock_to
         from product_history
         where product_id = $1
           and version < $2
         order by version desc
         limit $3",
        id.get(),
        below.map_or(i64::MAX, Version::get),
        rows_max,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

/// The changes of an import or a bulk patch behind one of them, or from the first on, by product and version.
pub(crate) async fn of_bulk(
    connection: &mut PgConnection,
    bulk_id: Uuid,
    after: Option<(ProductId, Version)>,
    rows_max: i64,
) -> sqlx::Result<Vec<PastChange>> {
    let (id, version) = after.map_or((0, 0), |(id, version)| (id.get(), version.get()));
    let rows = sqlx::query_as!(
        Row,
        "select product_id, version, changed_at, actor, reason, bulk_id,
                price_from, currency_from, stock_from, price_to, currency_to, stock_to
         from product_history
         where bulk_id = $1
           and (product_id, version) > ($2, $3)
         order by product_id, version
         limit $4",
        bulk_id,
        id,
        version,
        rows_max,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Row::read).collect()
}

impl Row {
    fn read(self) -> sqlx::Result<PastChange> {
        let corrupt = CorruptRow { product_id: self.product_id, version: self.version };
        self.try_read().ok_or_else(|| sqlx::Error::Decode(corrupt.into()))
    }

    fn try_read(self) -> Option<PastChange> {
        Some(PastChange {
            product_id: self.product_id.try_into().ok()?,
            version: self.version.try_into().ok()?,
            changed_at: self.changed_at,
            actor: self.actor,
            reason: self.reason,
            bulk_id: self.bulk_id,
            from: offer(self.price_from, self.currency_from, self.stock_from).ok()?,
            to: offer(self.price_to, self.currency_to, self.stock_to).ok()?,
        })
    }
}

/// All of it or nothing; an error if it is neither.
fn offer(price: Option<i64>, currency: Option<String>, stock: Option<i32>) -> Result<Option<Offer>, ()> {
    match (price, currency, stock) {
        (None, None, None) => Ok(None),
        (Some(price), Some(currency), Some(stock)) => {
            let currency = Currency::try_from(currency).map_err(drop)?;
            let price = Price::from_minor(price, currency).ok_or(())?;
            let stock = i64::from(stock).try_into().map_err(drop)?;
            Ok(Some(Offer { price, currency, stock }))
        }
        _ => Err(()),
    }
}
