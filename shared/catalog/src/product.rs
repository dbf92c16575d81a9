//! A product as clients, events and caches carry it.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{Brand, Category, Currency, Description, ImageUrl, Name, Price, ProductId, Sku, Stock, Version};

/// A product, whole. Its JSON is the answer body, the event's data and the cached body: the same bytes everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    pub id: ProductId,
    pub sku: Sku,
    pub name: Name,
    #[schema(required)]
    pub description: Option<Description>,
    #[schema(required)]
    pub brand: Option<Brand>,
    #[schema(required)]
    pub category: Option<Category>,
    #[schema(required)]
    pub image_url: Option<ImageUrl>,
    /// Always with exactly the decimals of `currency`.
    pub price: Price,
    pub currency: Currency,
    pub stock: Stock,
    pub version: Version,
    /// When the product was created, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When the product last changed, UTC. Not the order of commits: that is `version`.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Product {
    /// The product as answer body.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a product has string keys and no failing serializer")
    }
}
