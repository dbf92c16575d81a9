//! What histories have in common: how a change and a page of them are written, and what is asked of one.

pub(super) mod bulk;
mod cursor;
pub(super) mod product;

pub(crate) use cursor::CursorFault;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use catalog::{Currency, Price, ProductId, Stock, Version};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::app::App;
use crate::error::WriteError;
use crate::store::history::{Offer, PastChange};

/// Changes in an answer: some 40 kB.
const LIMIT_MAX: u8 = 100;
const LIMIT_DEFAULT: u8 = 20;

/// Which part of a history.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// Most changes in the answer.
    #[serde(default)]
    #[param(value_type = u8, minimum = 1, maximum = 100, default = 20, required = false)]
    limit: Limit,
    /// The `next_cursor` of the page before. The pages that follow one another like this hold each change once.
    #[param(required = false, nullable = false, pattern = "^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "u8")]
struct Limit(u8);

/// A page of a history
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryPage {
    #[schema(max_items = 100)]
    items: Vec<HistoryItem>,
    /// What to send as `cursor` for the next page; null on the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One change of a price or a stock. Each `from` is null if the change created the product, each `to` if it deleted it
#[derive(Serialize, ToSchema)]
pub(super) struct HistoryItem {
    product_id: ProductId,
    /// The product's version that the change made
    version: Version,
    #[serde(with = "time::serde::rfc3339")]
    changed_at: OffsetDateTime,
    /// Who made it
    actor: String,
    /// Why, as the patch says
    #[schema(required)]
    reason: Option<String>,
    /// The import or bulk patch that it was part of
    #[schema(required)]
    bulk_id: Option<Uuid>,
    price: PriceChange,
    currency: CurrencyChange,
    stock: StockChange,
}

/// The price before and after; equal if it stayed
#[derive(Serialize, ToSchema)]
struct PriceChange {
    #[schema(required)]
    from: Option<Price>,
    #[schema(required)]
    to: Option<Price>,
}

/// The currency before and after; equal if it stayed
#[derive(Serialize, ToSchema)]
struct CurrencyChange {
    #[schema(required)]
    from: Option<Currency>,
    #[schema(required)]
    to: Option<Currency>,
}

/// The stock before and after; equal if it stayed
#[derive(Serialize, ToSchema)]
struct StockChange {
    #[schema(required)]
    from: Option<Stock>,
    #[schema(required)]
    to: Option<Stock>,
}

impl HistoryQuery {
    /// One more than are answered: whether there are more.
    fn rows_max(&self) -> i64 {
        i64::from(self.limit.0) + 1
    }

    /// The page that begins with these rows.
    fn page(&self, mut rows: Vec<PastChange>, cursor_after: impl FnOnce(&PastChange) -> String) -> HistoryPage {
        let has_more = rows.len() > usize::from(self.limit.0);
        rows.truncate(usize::from(self.limit.0));
        let next_cursor = rows.last().filter(|_| has_more).map(cursor_after);
        HistoryPage { items: rows.into_iter().map(HistoryItem::from).collect(), next_cursor }
    }
}

impl IntoResponse for HistoryPage {
    fn into_response(self) -> Response {
        ([(header::CACHE_CONTROL, "no-store")], Json(self)).into_response()
    }
}

impl From<PastChange> for HistoryItem {
    fn from(change: PastChange) -> Self {
        let (from, to) = (change.from, change.to);
        Self {
            product_id: change.product_id,
            version: change.version,
            changed_at: change.changed_at,
            actor: change.actor,
            reason: change.reason,
            bulk_id: change.bulk_id,
            price: PriceChange { from: from.map(|offer| offer.price), to: to.map(|offer| offer.price) },
            currency: CurrencyChange { from: from.map(|offer| offer.currency), to: to.map(|offer| offer.currency) },
            stock: StockChange { from: from.map(|Offer { stock, .. }| stock), to: to.map(|Offer { stock, .. }| stock) },
        }
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(LIMIT_DEFAULT)
    }
}

impl TryFrom<u8> for Limit {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        if (1..=LIMIT_MAX).contains(&number) { Ok(Self(number)) } else { Err(format!("must be 1 to {LIMIT_MAX}")) }
    }
}

/// A connection to read with.
async fn connection(app: &App) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, WriteError> {
    app.primary.pool.acquire().await.map_err(unread)
}

fn unread(error: sqlx::Error) -> WriteError {
    WriteError::Unread(error.into())
}
