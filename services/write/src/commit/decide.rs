//! What a command does to a product: pure, with the clock as an argument.

use catalog::{FieldFault, ListFields, NewProduct, Product, ProductId, ProductPatch};
use events::Change;
use time::OffsetDateTime;

/// The change that creates a product.
pub(super) fn created(id: ProductId, new: NewProduct, now: OffsetDateTime) -> Change {
    let after = new.into_product(id, now);
    Change { id, version: after.version, before: None, after: Some(after) }
}

/// The change that a patch makes; `None` if the product is already as the patch says.
pub(super) fn patched(
    before: &Product,
    patch: &ProductPatch,
    now: OffsetDateTime,
) -> Result<Option<Change>, FieldFault> {
    let patched = patch.apply(before)?;
    if patched == *before {
        return Ok(None);
    }
    let after = Product { version: before.version.next(), updated_at: now, ..patched };
    Ok(Some(Change {
        id: before.id,
        version: after.version,
        before: Some(ListFields::from(before)),
        after: Some(after),
    }))
}

/// The change that deletes a product.
pub(super) fn deleted(before: &Product) -> Change {
    Change { id: before.id, version: before.version.next(), before: Some(ListFields::from(before)), after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);

    fn lamp() -> Product {
        let new = NewProduct::parse(br#"{"sku":"LAMP-1","name":"Lamp","price":"19.99","stock":4}"#).expect("valid");
        let id = ProductId::try_from(7).expect("positive");
        created(id, new, OffsetDateTime::UNIX_EPOCH).after.expect("created")
    }

    fn patch(json: &str) -> ProductPatch {
        ProductPatch::parse(json.as_bytes()).expect("valid")
    }

    #[test]
    fn a_patch_makes_the_next_version_and_tells_what_was_before() {
        let change = patched(&lamp(), &patch(r#"{"stock":3}"#), LATER).expect("fits").expect("changes");
        let after = change.after.expect("still there");
        assert_eq!((after.version.get(), after.updated_at, after.created_at), (2, LATER, OffsetDateTime::UNIX_EPOCH));
        assert_eq!(change.before.expect("was there").stock.get(), 4);
    }

    #[test]
    fn a_patch_that_changes_nothing_makes_no_change() {
        assert_eq!(patched(&lamp(), &patch("{}"), LATER), Ok(None));
        assert_eq!(patched(&lamp(), &patch(r#"{"price":19.99,"brand":null}"#), LATER), Ok(None));
    }

    #[test]
    fn a_delete_is_a_version_too() {
        let change = deleted(&lamp());
        assert_eq!((change.version.get(), change.after), (2, None));
    }
}
