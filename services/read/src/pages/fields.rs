//! Sparse answers: of each product the fields that were asked for, cut from the body that is kept.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::parameters::{Parameters, QueryFault};

/// The fields of a product, in the order of its body.
const NAMES: [&str; 13] = [
    "id",
    "sku",
    "name",
    "description",
    "brand",
    "category",
    "image_url",
    "price",
    "currency",
    "stock",
    "version",
    "created_at",
    "updated_at",
];

/// Which fields of each product are asked for, in the order of its body. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fields(Vec<&'static str>);

impl TryFrom<String> for Fields {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wanted: Vec<&str> = text.split(',').collect();
        if wanted.iter().any(|name| !NAMES.contains(name)) {
            return Err(format!("must be one or more of {}, separated by commas", NAMES.join(", ")));
        }
        Ok(Self(NAMES.into_iter().filter(|name| wanted.contains(name)).collect()))
    }
}

impl Fields {
    /// Reads the query of a single product, which takes nothing else.
    pub(crate) fn alone(pairs: Vec<(String, String)>) -> Result<Option<Self>, QueryFault> {
        let mut parameters = Parameters::new(&["fields"], pairs)?;
        let fields = parameters.read("fields", Self::try_from);
        parameters.finish()?;
        Ok(fields)
    }

    /// As query parameter, equal for equal fields.
    pub(crate) fn parameter(&self) -> String {
        self.0.join(",")
    }

    /// What is asked for of a product.
    pub(crate) fn of_product(&self, product: &[u8]) -> Bytes {
        let mut sparse = Vec::with_capacity(product.len());
        self.push(product, &mut sparse);
        sparse.into()
    }

    /// The same, written behind what there is. A body that is no product's stays as it is: nobody is helped by less of it.
    pub(crate) fn push(&self, product: &[u8], to: &mut Vec<u8>) {
        let Ok(fields) = serde_json::from_slice::<HashMap<&str, &RawValue>>(product) else {
            return to.extend_from_slice(product);
        };
        to.push(b'{');
        let begin = to.len();
        for name in &self.0 {
            if let Some(value) = fields.get(name) {
                if to.len() > begin {
                    to.push(b',');
                }
                to.extend_from_slice(format!("\"{name}\":{value}").as_bytes());
            }
        }
        to.push(b'}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAMP: &str = r#"{"id":7,"sku":"L-1","name":"A \"lamp\"","description":null,"brand":null,"category":null,"image_url":null,"price":"3.00","currency":"USD","stock":4,"version":2,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}"#;

    fn sparse(fields: &str, product: &str) -> String {
        let mut to = Vec::new();
        Fields::try_from(fields.to_owned()).expect("fields").push(product.as_bytes(), &mut to);
        String::from_utf8(to).expect("text")
    }

    #[test]
    fn fields_stand_in_the_order_of_the_product_each_once() {
        assert_eq!(sparse("price,name,id,name", LAMP), r#"{"id":7,"name":"A \"lamp\"","price":"3.00"}"#);
        assert_eq!(sparse("description", LAMP), r#"{"description":null}"#);
        assert_eq!(sparse("id", "no product"), "no product");
    }

    #[test]
    fn every_field_of_a_product_may_be_asked_for_and_nothing_else() {
        let product: catalog::Product = serde_json::from_str(LAMP).expect("a product");
        let all = String::from_utf8(product.to_json()).expect("text");
        assert_eq!(sparse(&NAMES.join(","), &all), all);
        for wrong in ["", "id,", "ID", "id, name", "deleted_at", "*"] {
            let fault = Fields::try_from(wrong.to_owned()).expect_err("refused");
            assert!(fault.starts_with("must be one or more of id, sku, "), "{fault}");
        }
    }
}
