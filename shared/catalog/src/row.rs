//! A product as the table `products` holds it, for the services that query it.

use time::OffsetDateTime;

use crate::{Currency, Price, Product};

/// The columns of a product, under their names: `price` in minor units.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "sqlx", derive(sqlx::FromRow))]
pub struct ProductRow {
    pub id: i64,
    pub sku: String,
    pub name: String,
    pub description: Option<String>,
    pub brand: Option<String>,
    pub category: Option<String>,
    pub image_url: Option<String>,
    pub price: i64,
    pub currency: String,
    pub stock: i32,
    pub version: i64,
    pub created_at: OffsetDateTime,
    pub updated_at: OffsetDateTime,
}

/// A row that someone wrote past this code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored {column} of product {id} is none")]
pub struct CorruptRow {
    id: i64,
    column: &'static str,
}

impl TryFrom<ProductRow> for Product {
    type Error = CorruptRow;

    fn try_from(row: ProductRow) -> Result<Self, CorruptRow> {
        let id = row.id;
        let corrupt = |column| CorruptRow { id, column };
        let currency: Currency = row.currency.try_into().map_err(|_| corrupt("currency"))?;
        Ok(Self {
            id: id.try_into().map_err(|_| corrupt("id"))?,
            sku: row.sku.try_into().map_err(|_| corrupt("sku"))?,
            name: row.name.try_into().map_err(|_| corrupt("name"))?,
            description: optional(row.description).map_err(|()| corrupt("description"))?,
            brand: optional(row.brand).map_err(|()| corrupt("brand"))?,
            category: optional(row.category).map_err(|()| corrupt("category"))?,
            image_url: optional(row.image_url).map_err(|()| corrupt("image_url"))?,
            price: Price::from_minor(row.price, currency).ok_or_else(|| corrupt("price"))?,
            currency,
            stock: i64::from(row.stock).try_into().map_err(|_| corrupt("stock"))?,
            version: row.version.try_into().map_err(|_| corrupt("version"))?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

fn optional<T: TryFrom<String>>(text: Option<String>) -> Result<Option<T>, ()> {
    text.map(T::try_from).transpose().map_err(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> ProductRow {
        ProductRow {
            id: 7,
            sku: "LAMP-1".to_owned(),
            name: "Lamp".to_owned(),
            description: None,
            brand: Some("Lumo".to_owned()),
            category: None,
            image_url: None,
            price: 1999,
            currency: "USD".to_owned(),
            stock: 4,
            version: 2,
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_row_becomes_a_product_with_the_decimals_of_its_currency() {
        let product = Product::try_from(row()).expect("valid");
        assert_eq!(product.price.to_string(), "19.99");
        assert_eq!(product.brand.as_ref().map(crate::Brand::as_str), Some("Lumo"));
    }

    #[test]
    fn a_row_that_is_no_product_is_named() {
        let fault = Product::try_from(ProductRow { brand: Some(String::new()), ..row() }).expect_err("empty brand");
        assert_eq!(fault.to_string(), "the stored brand of product 7 is none");
    }
}
