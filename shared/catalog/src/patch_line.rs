//! One line of a bulk patch: which product, what to change of it, and what that depends on.

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::fields::{integer, text};
use crate::patch::PATCH_FIELDS;
use crate::{Fields, IfMatch, ProductId, ProductPatch, Refusal, Sku};

/// A merge patch that names its product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchLine {
    pub product: ProductName,
    pub if_match: Option<IfMatch>,
    pub patch: ProductPatch,
}

/// What a product is known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProductName {
    Id(ProductId),
    Sku(Sku),
}

impl PatchLine {
    /// Reads and checks a line as far as that is possible without the product.
    pub fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Fields::parse(json)?;
        let has_both = fields.has("id") && fields.has("sku");
        let product = if fields.has("sku") {
            fields.take("sku", text).map(ProductName::Sku)
        } else if fields.has("id") {
            fields.take("id", integer).map(ProductName::Id)
        } else {
            fields.fault("id", "is required, or sku in its place");
            None
        };
        if has_both {
            fields.take("id", integer::<ProductId>);
            fields.fault("id", "must not stand beside sku");
        }
        let if_match = fields.take("if_match", IfMatch::parse);
        let patch = ProductPatch::take(&mut fields);
        let line = product.map(|product| Self { product, if_match, patch });
        fields.finish(&format!("id or sku, if_match, {PATCH_FIELDS}"), line)
    }
}

impl PartialSchema for PatchLine {
    fn schema() -> RefOr<Schema> {
        let RefOr::T(Schema::Object(mut line)) = ProductPatch::schema() else { unreachable!("a patch is an object") };
        line.description = Some("A merge patch with the `id` or the `sku` of its product, one of the two".to_owned());
        for (field, schema) in [("id", "ProductId"), ("sku", "Sku"), ("if_match", "IfMatch")] {
            line.properties.insert(field.to_owned(), Ref::from_schema_name(schema).into());
        }
        Schema::Object(line).into()
    }
}

impl ToSchema for PatchLine {
    fn name() -> std::borrow::Cow<'static, str> {
        "PatchLine".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("IfMatch".to_owned(), IfMatch::schema()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<(String, String)> {
        match PatchLine::parse(json.as_bytes()) {
            Err(Refusal::Invalid(faults)) => faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect(),
            other => panic!("expected invalid fields, got {other:?}"),
        }
    }

    #[test]
    fn a_line_is_a_patch_with_its_product_and_precondition() {
        let line = PatchLine::parse(br#"{"sku":"LAMP-1","price":19.9,"if_match":4}"#).expect("valid");
        assert_eq!(line.product, ProductName::Sku("LAMP-1".to_owned().try_into().expect("valid")));
        assert_eq!(line.patch, ProductPatch::parse(br#"{"price":19.9}"#).expect("valid"));
        assert_eq!(line.if_match, Some(IfMatch::Versions(vec![4.try_into().expect("a version")])));
        let line = PatchLine::parse(br#"{"id":7,"brand":null,"reason":"count"}"#).expect("valid");
        assert_eq!(line.product, ProductName::Id(7.try_into().expect("positive")));
        assert_eq!(line.if_match, None);
    }

    #[test]
    fn every_fault_of_a_line_is_named_at_once() {
        let pointers = |json: &str| faults(json).into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>();
        assert_eq!(pointers(r#"{"price":1}"#), ["#/id"]);
        assert_eq!(pointers(r#"{"id":7,"sku":"A","price":1}"#), ["#/id"]);
        assert_eq!(
            pointers(r#"{"id":0,"if_match":"x","stock":1,"stock_delta":1}"#),
            ["#/id", "#/if_match", "#/stock_delta"]
        );
        assert_eq!(pointers(r#"{"sku":"A","colour":"red","version":1}"#), ["#/colour", "#/version"]);
        assert!(faults(r#"{"sku":"A","x":1}"#)[0].1.contains("id or sku, if_match, name"));
        assert!(matches!(PatchLine::parse(b"nonsense"), Err(Refusal::Malformed(_))));
    }
}
