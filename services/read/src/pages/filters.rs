//! Which products stand in a list.

use catalog::{Brand, Category, CategoryFilter, Currency, Price};

use super::parameters::Parameters;

/// What a product must be to stand in the list; nothing said means every product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filters {
    pub(crate) brand: Option<Brand>,
    pub(crate) category: Option<CategoryFilter>,
    pub(crate) in_stock: Option<bool>,
    pub(crate) min_price: Option<Price>,
    pub(crate) max_price: Option<Price>,
    /// Never absent where prices are compared.
    pub(crate) currency: Option<Currency>,
}

impl Filters {
    /// `default_currency` holds where prices are compared and no currency is named.
    pub(crate) fn read(parameters: &mut Parameters, is_by_price: bool, default_currency: Currency) -> Self {
        let brand = parameters.read("brand", Brand::try_from);
        let category = parameters.read("category", Category::try_from).map(CategoryFilter);
        let in_stock = parameters.read("in_stock", |text| match text.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false"),
        });
        let named = parameters.take("currency").map(Currency::try_from);
        let is_known = !matches!(named, Some(Err(_)));
        let named = named.and_then(|currency| parameters.check("currency", currency));
        let currency = named.unwrap_or(default_currency);
        let mut price = |name| {
            let amount = parameters.read(name, Price::try_from)?;
            // How many decimals there may be is not known without the currency, and one fault is enough.
            if is_known { parameters.check(name, amount.within(currency)) } else { None }
        };
        let (min_price, max_price) = (price("min_price"), price("max_price"));
        let compares_prices = is_by_price || min_price.is_some() || max_price.is_some();
        let currency = named.or(compares_prices.then_some(default_currency));
        Self { brand, category, in_stock, min_price, max_price, currency }
    }

    /// Whether no product can pass.
    pub(crate) fn are_contradictory(&self) -> bool {
        matches!((self.min_price, self.max_price), (Some(min), Some(max)) if min.minor() > max.minor())
    }

    /// Whether few products may pass in a way that Postgres does not foresee.
    pub(crate) const fn are_narrow(&self) -> bool {
        self.brand.is_some() || self.category.is_some()
    }

    /// As query parameters, equal for equal filters.
    pub(crate) fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        let mut push = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
        push("brand", self.brand.as_ref().map(ToString::to_string));
        push("category", self.category.as_ref().map(|category| category.0.to_string()));
        push("in_stock", self.in_stock.map(|in_stock| in_stock.to_string()));
        push("min_price", self.min_price.map(|price| price.to_string()));
        push("max_price", self.max_price.map(|price| price.to_string()));
        push("currency", self.currency.map(|currency| currency.to_string()));
        pairs
    }
}
