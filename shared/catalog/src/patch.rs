//! What a client may send: a whole new product, or a JSON merge patch (RFC 7396) of one.

use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::fields::{integer, price, text};
use crate::price::Amount;
use crate::{
    Brand, Category, Currency, Description, FieldFault, Fields, ImageUrl, Name, Price, Product, ProductId, Reason,
    Refusal, Sku, Stock, StockDelta, Version,
};

const NEW_FIELDS: &str = "sku, name, description, brand, category, image_url, price, currency, stock";
pub(crate) const PATCH_FIELDS: &str =
    "name, description, brand, category, image_url, price, currency, stock, stock_delta, reason";

/// A product that does not exist yet, or the whole new content of one that is known by its sku.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct NewProduct {
    pub sku: Sku,
    pub name: Name,
    pub description: Option<Description>,
    pub brand: Option<Brand>,
    pub category: Option<Category>,
    pub image_url: Option<ImageUrl>,
    /// With no more decimals than the currency has.
    #[schema(value_type = Amount)]
    pub price: Price,
    /// ISO 4217; USD if absent.
    #[schema(required = false)]
    pub currency: Currency,
    /// Units on hand; 0 if absent.
    #[schema(required = false)]
    pub stock: Stock,
}

impl NewProduct {
    /// Reads and checks a whole product.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Fields::parse(json)?;
        let sku = fields.require("sku", text);
        let name = fields.require("name", text);
        let description = fields.take_nullable("description", text).flatten();
        let brand = fields.take_nullable("brand", text).flatten();
        let category = fields.take_nullable("category", text).flatten();
        let image_url = fields.take_nullable("image_url", text).flatten();
        let amount: Option<Price> = fields.require("price", price);
        // One that is at fault says nothing of the price's decimals.
        let currency = if fields.has("currency") { fields.take("currency", text) } else { Some(Currency::default()) };
        let stock = fields.take("stock", integer).unwrap_or_default();
        let price = amount
            .zip(currency)
            .and_then(|(amount, currency)| amount.within(currency).map_err(|fault| fields.fault("price", fault)).ok());
        let built = (|| {
            Some(Self {
                sku: sku?,
                name: name?,
                description,
                brand,
                category,
                image_url,
                price: price?,
                currency: currency?,
                stock,
            })
        })();
        fields.finish(NEW_FIELDS, built)
    }

    /// The first version of the product.
    pub fn into_product(self, id: ProductId, created_at: OffsetDateTime) -> Product {
        Product {
            id,
            sku: self.sku,
            name: self.name,
            description: self.description,
            brand: self.brand,
            category: self.category,
            image_url: self.image_url,
            price: self.price,
            currency: self.currency,
            stock: self.stock,
            version: Version::FIRST,
            created_at,
            updated_at: created_at,
        }
    }
}

/// A JSON merge patch of a product: what is absent stays, `null` clears a field that may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
pub struct ProductPatch {
    #[schema(value_type = Name, required = false)]
    pub name: Option<Name>,
    #[schema(value_type = Option<Description>)]
    pub description: Option<Option<Description>>,
    #[schema(value_type = Option<Brand>)]
    pub brand: Option<Option<Brand>>,
    #[schema(value_type = Option<Category>)]
    pub category: Option<Option<Category>>,
    #[schema(value_type = Option<ImageUrl>)]
    pub image_url: Option<Option<ImageUrl>>,
    /// With no more decimals than the currency has.
    #[schema(value_type = Amount, required = false)]
    pub price: Option<Price>,
    /// To a currency with fewer decimals only together with a price that fits it.
    #[schema(value_type = Currency, required = false)]
    pub currency: Option<Currency>,
    /// Not together with `stock_delta`.
    #[schema(value_type = Stock, required = false)]
    pub stock: Option<Stock>,
    /// Added to the stock as it is then, which is never taken below 0.
    #[schema(value_type = StockDelta, required = false)]
    pub stock_delta: Option<StockDelta>,
    /// No part of the product, but of its history.
    #[schema(value_type = Reason, required = false)]
    pub reason: Option<Reason>,
}

/// Why a patch does not fit a product.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchFault {
    #[error("{}", .0.detail)]
    Field(FieldFault),
    /// More was to be taken out than there is.
    #[error("the stock is {stock}; {delta} would take it below 0")]
    BelowZero { stock: Stock, delta: StockDelta },
}

impl ProductPatch {
    /// Reads and checks a patch as far as that is possible without the product.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Fields::parse(json)?;
        let patch = Self::take(&mut fields);
        fields.finish(PATCH_FIELDS, Some(patch))
    }

    /// Reads the patch out of an object that may hold more.
    pub(crate) fn take(fields: &mut Fields<'_>) -> Self {
        let patch = Self {
            name: fields.take("name", text),
            description: fields.take_nullable("description", text),
            brand: fields.take_nullable("brand", text),
            category: fields.take_nullable("category", text),
            image_url: fields.take_nullable("image_url", text),
            price: fields.take("price", price),
            currency: fields.take("currency", text),
            stock: fields.take("stock", integer),
            stock_delta: fields.take("stock_delta", integer),
            reason: fields.take("reason", text),
        };
        if patch.stock.is_some() && patch.stock_delta.is_some() {
            fields.fault("stock_delta", "must not stand beside stock");
        }
        patch
    }

    /// The product after this patch, with the version and the times it had before it.
    ///
    /// A patch of the currency alone keeps the amount: 5.00 USD becomes 5.00 EUR, never another number.
    pub fn apply(&self, product: &Product) -> Result<Product, PatchFault> {
        let currency = self.currency.unwrap_or(product.currency);
        let price = self.price.unwrap_or(product.price);
        let field = if self.price.is_some() { "price" } else { "currency" };
        let price = price.within(currency).map_err(|fault| PatchFault::Field(FieldFault::new(field, fault)))?;
        Ok(Product {
            name: self.name.clone().unwrap_or_else(|| product.name.clone()),
            description: self.description.clone().unwrap_or_else(|| product.description.clone()),
            brand: self.brand.clone().unwrap_or_else(|| product.brand.clone()),
            category: self.category.clone().unwrap_or_else(|| product.category.clone()),
            image_url: self.image_url.clone().unwrap_or_else(|| product.image_url.clone()),
            price,
            currency,
            stock: self.stock_of(product)?,
            ..product.clone()
        })
    }
}

impl ProductPatch {
    fn stock_of(&self, product: &Product) -> Result<Stock, PatchFault> {
        let Some(delta) = self.stock_delta else { return Ok(self.stock.unwrap_or(product.stock)) };
        let stock = i64::from(product.stock) + i64::from(delta);
        if stock < 0 {
            return Err(PatchFault::BelowZero { stock: product.stock, delta });
        }
        stock.try_into().map_err(|_| {
            let detail = format!("must not take the stock, which is {}, above {}", product.stock, i32::MAX);
            PatchFault::Field(FieldFault::new("stock_delta", detail))
        })
    }
}

impl From<NewProduct> for ProductPatch {
    /// The patch that gives a product exactly this content, whatever it held before.
    fn from(new: NewProduct) -> Self {
        Self {
            name: Some(new.name),
            description: Some(new.description),
            brand: Some(new.brand),
            category: Some(new.category),
            image_url: Some(new.image_url),
            price: Some(new.price),
            currency: Some(new.currency),
            stock: Some(new.stock),
            stock_delta: None,
            reason: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(refusal: Result<impl std::fmt::Debug, Refusal>) -> Vec<(String, String)> {
        match refusal {
            Err(Refusal::Invalid(faults)) => faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect(),
            other => panic!("expected invalid fields, got {other:?}"),
        }
    }

    fn lamp() -> Product {
        let new = NewProduct::parse(br#"{"sku":"LAMP-1","name":"Lamp","price":19.99,"stock":4}"#).expect("valid");
        new.into_product(ProductId::try_from(1).expect("positive"), OffsetDateTime::UNIX_EPOCH)
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let body = br#"{"sku":"a b","price":"1.234","stock":-1,"colour":"red","brand":7,"name":"x","name":"y"}"#;
        let faults = faults(NewProduct::parse(body));
        let pointers: Vec<&str> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["#/name", "#/sku", "#/brand", "#/stock", "#/price", "#/colour"]);
        assert_eq!(faults[4].1, "must have at most 2 decimals in USD");
        assert_eq!(faults[5].1, format!("is not a field here; allowed are {NEW_FIELDS}"));
    }

    #[test]
    fn a_body_that_is_no_json_or_no_object_is_told_apart() {
        assert!(matches!(NewProduct::parse(b"{\"sku\":"), Err(Refusal::Malformed(_))));
        assert!(matches!(NewProduct::parse(b"\xff"), Err(Refusal::Malformed(_))));
        assert_eq!(faults(ProductPatch::parse(b" [1]"))[0].1, "must be a JSON object");
    }

    #[test]
    fn an_object_of_very_many_fields_is_refused_in_one_word() {
        let body = |count: usize| {
            let fields: Vec<String> = (0..count).map(|at| format!(r#""{at}":1"#)).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert_eq!(faults(ProductPatch::parse(body(64).as_bytes())).len(), 64);
        let refused = faults(ProductPatch::parse(body(10_000).as_bytes()));
        assert_eq!(refused, [("#".to_owned(), "must have at most 64 fields, has 10000".to_owned())]);
    }

    #[test]
    fn a_price_is_read_from_the_text_of_a_number() {
        let patch = ProductPatch::parse(br#"{"price": 0.1}"#).expect("valid");
        assert_eq!(patch.apply(&lamp()).expect("fits").price.to_string(), "0.10");
        assert_eq!(faults(ProductPatch::parse(br#"{"price": 1e2}"#)).len(), 1);
        assert_eq!(faults(ProductPatch::parse(br#"{"price": null}"#)).len(), 1);
    }

    #[test]
    fn null_clears_what_may_be_empty_and_absent_leaves_it() {
        let branded = ProductPatch::parse(br#"{"brand":"Lumo","description":"Bright"}"#)
            .expect("valid")
            .apply(&lamp())
            .expect("fits");
        let cleared = ProductPatch::parse(br#"{"brand":null}"#).expect("valid").apply(&branded).expect("fits");
        assert_eq!(cleared.brand, None);
        assert_eq!(cleared.description, branded.description);
        assert_eq!(
            faults(ProductPatch::parse(br#"{"name":null}"#)),
            [("#/name".to_owned(), "must be a string".to_owned())]
        );
    }

    #[test]
    fn an_amount_survives_a_change_of_currency_or_the_change_is_refused() {
        let patch = |json: &str| ProductPatch::parse(json.as_bytes()).expect("valid").apply(&lamp());
        assert_eq!(patch(r#"{"currency":"EUR"}"#).expect("fits").price.to_string(), "19.99");
        assert_eq!(patch(r#"{"currency":"KWD"}"#).expect("fits").price.to_string(), "19.990");
        let pointer = |json: &str| match patch(json).expect_err("does not fit") {
            PatchFault::Field(fault) => fault.pointer,
            PatchFault::BelowZero { .. } => panic!("no stock was named"),
        };
        assert_eq!(pointer(r#"{"currency":"JPY"}"#), "#/currency");
        assert_eq!(patch(r#"{"currency":"JPY","price":"20"}"#).expect("fits").price.to_string(), "20");
        assert_eq!(pointer(r#"{"price":"1.999"}"#), "#/price");
    }

    #[test]
    fn a_delta_is_added_to_the_stock_and_takes_it_neither_below_zero_nor_out_of_range() {
        let patch = |json: &str| ProductPatch::parse(json.as_bytes()).expect("valid").apply(&lamp());
        assert_eq!(patch(r#"{"stock_delta":-4}"#).map(|lamp| lamp.stock.get()), Ok(0));
        assert_eq!(patch(r#"{"stock_delta":3}"#).map(|lamp| lamp.stock.get()), Ok(7));
        assert_eq!(
            patch(r#"{"stock_delta":-5}"#).map_err(|fault| fault.to_string()),
            Err("the stock is 4; -5 would take it below 0".to_owned())
        );
        assert!(matches!(patch(r#"{"stock_delta":2147483647}"#), Err(PatchFault::Field(_))));
        assert_eq!(
            faults(ProductPatch::parse(br#"{"stock":1,"stock_delta":1}"#)),
            [("#/stock_delta".to_owned(), "must not stand beside stock".to_owned())]
        );
    }
}
