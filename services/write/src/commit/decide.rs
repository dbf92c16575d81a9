//! What commands do to products: pure, with the clock as an argument.

use std::collections::HashMap;

use catalog::{
    Brand, Category, Description, ListFields, NewProduct, PatchFault, Product, ProductId, ProductPatch, Reason,
};
use events::{Change, Words};
use time::OffsetDateTime;

use super::command::{Action, Author, Command, Done};
use super::rows;
use crate::error::WriteError;
use crate::store::changes::AnswerRow;
use crate::store::idempotency::{Claim, Kept};
use crate::store::products::WordsById;

/// A change, and what its event does not say of it.
#[derive(Clone, Debug)]
pub(super) struct Decided {
    pub(super) change: Change,
    /// What is deleted, if it is.
    pub(super) deleted: Option<Product>,
    /// Whether it changes what is searched as words.
    pub(super) changes_words: bool,
    pub(super) author: Author,
    pub(super) reason: Option<Reason>,
}

/// What commands come to.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// In order; those of one product follow one another.
    pub(super) decided: Vec<Decided>,
    /// Of each command.
    pub(super) results: Vec<Result<Done, WriteError>>,
    /// To be kept for those that are done once.
    pub(super) answers: Vec<AnswerRow>,
}

/// Does the commands one after the other, each to what the one before has left of the products that were `found` at `now`.
/// One whose answer is `kept` already is not done again.
pub(super) fn fold(
    commands: &[Command],
    found: Vec<Product>,
    mut kept: HashMap<Claim, Kept>,
    now: OffsetDateTime,
) -> Fold {
    let mut products: HashMap<ProductId, Product> = found.into_iter().map(|product| (product.id, product)).collect();
    let mut fold = Fold::default();
    for command in commands {
        let claim = command.claim();
        if let Some((once, first)) = command.once.as_ref().zip(claim.as_ref().and_then(|claim| kept.get(claim))) {
            fold.results.push(once.repeated(first).map(Done::Repeated));
            continue;
        }
        let result = one(command, &mut products, now).map(|(done, decided)| {
            fold.decided.extend(decided);
            done
        });
        if let Some((once, claim)) = command.once.as_ref().zip(claim) {
            let answer = rows::answer(command.id, &command.author, once, &result);
            kept.insert(claim, Kept::from(&answer));
            fold.answers.push(answer);
        }
        fold.results.push(result);
    }
    fold
}

fn one(
    command: &Command,
    products: &mut HashMap<ProductId, Product>,
    now: OffsetDateTime,
) -> Result<(Done, Option<Decided>), WriteError> {
    let Some(product) = products.get_mut(&command.id) else {
        return Err(match &command.action {
            Action::Unknown(sku) => WriteError::UnknownSku(sku.clone()),
            _ => WriteError::NotFound(command.id),
        });
    };
    if command.if_match.as_ref().is_some_and(|wanted| !wanted.is_met_by(product.version)) {
        return Err(WriteError::Stale(Box::new(product.clone())));
    }
    match &command.action {
        Action::Patch(patch) => {
            let decided = patched(product, patch, &command.author, now).map_err(|fault| match fault {
                PatchFault::Field(fault) => fault.into(),
                PatchFault::BelowZero { .. } => WriteError::BelowZero(fault.to_string(), Box::new(product.clone())),
            })?;
            if let Some(after) = decided.as_ref().and_then(|decided| decided.change.after.as_ref()) {
                product.clone_from(after);
            }
            Ok((Done::Patched(product.clone()), decided))
        }
        Action::Delete => {
            let decided = deleted(product, &command.author);
            let done = Done::Deleted(product.id, decided.change.version);
            products.remove(&command.id);
            Ok((done, Some(decided)))
        }
        Action::Unknown(sku) => Err(WriteError::UnknownSku(sku.clone())),
    }
}

/// The change that creates a product.
pub(super) fn created(id: ProductId, new: NewProduct, author: &Author, now: OffsetDateTime) -> Decided {
    let after = new.into_product(id, now);
    let change = Change { id, version: after.version, before: None, after: Some(after), words: None };
    Decided { change, deleted: None, changes_words: true, author: author.clone(), reason: None }
}

/// The change that a patch makes; `None` if the product is already as the patch says.
pub(super) fn patched(
    before: &Product,
    patch: &ProductPatch,
    author: &Author,
    now: OffsetDateTime,
) -> Result<Option<Decided>, PatchFault> {
    let patched = patch.apply(before)?;
    if patched == *before {
        return Ok(None);
    }
    let changes_words = words(&patched) != words(before);
    let after = Product { version: before.version.next(), updated_at: now, ..patched };
    let before = Some(ListFields::from(before));
    let change = Change { id: after.id, version: after.version, before, after: Some(after), words: None };
    Ok(Some(Decided { change, deleted: None, changes_words, author: author.clone(), reason: patch.reason.clone() }))
}

/// The change that deletes a product.
fn deleted(before: &Product, author: &Author) -> Decided {
    let (id, version) = (before.id, before.version.next());
    let change = Change { id, version, before: Some(ListFields::from(before)), after: None, words: None };
    Decided { change, deleted: Some(before.clone()), changes_words: true, author: author.clone(), reason: None }
}

/// The products whose texts differ in the end.
pub(super) fn with_other_texts(decided: &[Decided]) -> Vec<&Product> {
    let mut last: HashMap<ProductId, (bool, Option<&Product>)> = HashMap::new();
    for Decided { change, changes_words, .. } in decided.iter().filter(|decided| decided.change.before.is_some()) {
        let (has_others, after) = last.entry(change.id).or_default();
        *has_others |= changes_words;
        *after = change.after.as_ref();
    }
    last.into_values().filter_map(|(has_others, after)| after.filter(|_| has_others)).collect()
}

/// Puts into each change what its product is found by: `before` is what locked products were found by, `after` what those
/// are found by whose texts were written. Of several changes of one product among which its texts changed nothing is said:
/// the words in between were never made.
pub(super) fn note_words(decided: &mut [Decided], before: &mut WordsById, after: &mut WordsById) {
    let mut changes_of: HashMap<ProductId, (usize, bool)> = HashMap::new();
    for Decided { change, changes_words, .. } in decided.iter() {
        let (changes, has_texts) = changes_of.entry(change.id).or_default();
        *changes += 1;
        *has_texts |= changes_words;
    }
    for Decided { change, changes_words, .. } in decided {
        let id = change.id;
        change.words = match changes_of.get(&id) {
            Some((1, true)) => Some(Words { before: before.remove(&id), after: after.remove(&id) }),
            Some((_, false)) if !*changes_words => {
                before.get(&id).cloned().map(|words| Words { before: None, after: Some(words) })
            }
            _ => None,
        };
    }
}

/// What the column `search` is made of; a sku never changes.
fn words(product: &Product) -> [Option<&str>; 4] {
    let Product { name, description, brand, category, .. } = product;
    [
        Some(name.as_str()),
        description.as_ref().map(Description::as_str),
        brand.as_ref().map(Brand::as_str),
        category.as_ref().map(Category::as_str),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: OffsetDateTime = time::macros::datetime!(2026-01-02 03:04:05 UTC);

    fn author() -> Author {
        Author { actor: "tests".into(), bulk_id: None }
    }

    fn lamp() -> Product {
        let new = NewProduct::parse(br#"{"sku":"LAMP-1","name":"Lamp","price":"19.99","stock":4}"#).expect("valid");
        let id = ProductId::try_from(7).expect("positive");
        created(id, new, &author(), OffsetDateTime::UNIX_EPOCH).change.after.expect("created")
    }

    fn patch(json: &str) -> ProductPatch {
        ProductPatch::parse(json.as_bytes()).expect("valid")
    }

    #[test]
    fn a_patch_makes_the_next_version_and_tells_what_was_before() {
        let Decided { change, changes_words, .. } =
            patched(&lamp(), &patch(r#"{"stock":3}"#), &author(), LATER).expect("fits").expect("changes");
        assert!(!changes_words);
        let after = change.after.expect("still there");
        assert_eq!((after.version.get(), after.updated_at, after.created_at), (2, LATER, OffsetDateTime::UNIX_EPOCH));
        assert_eq!(change.before.expect("was there").stock.get(), 4);
    }

    #[test]
    fn a_patch_that_changes_nothing_makes_no_change() {
        for nothing in ["{}", r#"{"price":19.99,"brand":null}"#, r#"{"stock_delta":0,"reason":"count"}"#] {
            assert!(patched(&lamp(), &patch(nothing), &author(), LATER).expect("fits").is_none());
        }
    }

    #[test]
    fn a_patch_of_texts_is_told_from_one_of_an_offer() {
        let changes_words =
            |json| patched(&lamp(), &patch(json), &author(), LATER).expect("fits").expect("changes").changes_words;
        for json in [r#"{"name":"x"}"#, r#"{"description":"x"}"#, r#"{"brand":"x"}"#, r#"{"category":"x","price":"1"}"#]
        {
            assert!(changes_words(json), "{json}");
        }
        assert!(!changes_words(r#"{"name":"Lamp","price":"1","image_url":"https://example.com/a.png"}"#));
    }

    #[test]
    fn a_delete_is_a_version_too() {
        let change = deleted(&lamp(), &author()).change;
        assert_eq!((change.version.get(), change.after), (2, None));
    }

    #[test]
    fn of_words_that_changed_more_than_once_nothing_is_said() {
        let first = lamp();
        let named = |before: &Product, name: &str| {
            patched(before, &patch(&format!(r#"{{"name":"{name}"}}"#)), &author(), LATER)
                .expect("fits")
                .expect("changes")
        };
        let second = named(&first, "Fan");
        let third = named(second.change.after.as_ref().expect("there"), "Desk");
        let words = || WordsById::from([(first.id, "lamp".to_owned())]);
        let mut twice = [second.clone(), third];
        note_words(&mut twice, &mut words(), &mut words());
        assert!(twice.iter().all(|decided| decided.change.words.is_none()));
        let mut once = [second];
        note_words(&mut once, &mut words(), &mut WordsById::from([(first.id, "fan".to_owned())]));
        let expected = Words { before: Some("lamp".to_owned()), after: Some("fan".to_owned()) };
        assert_eq!(once[0].change.words, Some(expected));
    }
}
