//! What of a product decides in which lists it stands.

use serde::{Deserialize, Serialize};

use crate::{Brand, Category, Currency, Name, Price, Product, Sku, Stock};

/// The fields of a product that lists filter or sort by, as they were at one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListFields {
    pub sku: Sku,
    pub name: Name,
    pub brand: Option<Brand>,
    pub category: Option<Category>,
    pub price: Price,
    pub currency: Currency,
    pub stock: Stock,
}

impl From<&Product> for ListFields {
    fn from(product: &Product) -> Self {
        Self {
            sku: product.sku.clone(),
            name: product.name.clone(),
            brand: product.brand.clone(),
            category: product.category.clone(),
            price: product.price,
            currency: product.currency,
            stock: product.stock,
        }
    }
}

/// A category and everything below it in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CategoryFilter(pub Category);

impl CategoryFilter {
    /// The half-open range `[from, to)` that holds, in byte order, exactly the paths below the category:
    /// `0` is the character after `/`.
    pub fn below(&self) -> (String, String) {
        (format!("{}/", self.0), format!("{}0", self.0))
    }
}
