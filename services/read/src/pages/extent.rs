//! What a page holds of its list, and whether a change leaves that as it is.
//!
//! Architecture invariant: whoever says here that a change does not matter is right about it, whatever the change. What
//! cannot be decided from the change and the page alone matters.

use std::sync::Arc;

use catalog::{Brand, Category, CategoryFilter, Currency, ListFields, Name, Product, ProductId, Version};
use events::Change;
use time::OffsetDateTime;

use super::cursor::{LastSeen, SortKey};
use super::filters::Filters;
use super::query::{Begin, PageQuery, Sort};
use super::terms::Stage;

/// A stretch of a list, as one snapshot showed it.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) query: Arc<PageQuery>,
    /// What a search looked for in the end.
    pub(crate) stage: Option<Stage>,
    /// The products of the page in order, and the one after the last if there is one.
    pub(crate) rows: Vec<Row>,
}

/// A product in a stretch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) place: LastSeen,
    pub(crate) version: Version,
}

/// What a change does to a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    None,
    /// The row at this place holds the product as it was before; its place stays.
    Body(usize),
    /// The page may hold other products now, or in another order.
    Moved,
}

impl Extent {
    /// What a change does that the page may or may not have seen.
    pub(crate) fn effect_of(&self, change: &Change) -> Effect {
        let row = self.rows.iter().position(|row| row.place.id == change.id);
        if row.is_some_and(|row| self.rows[row].version >= change.version) {
            return Effect::None;
        }
        let side = Sides::of(change);
        if let Some(stage) = &self.stage {
            if stage.is_weighed && side.changes_words {
                return Effect::Moved;
            }
            // How many have all the words decides whether those count that have some.
            if self.passes(side.before.as_ref()) != self.passes(side.after.as_ref()) {
                return Effect::Moved;
            }
        }
        match row {
            Some(row) => self.effect_on_row(row, &side),
            None => self.effect_beside(change.id, &side),
        }
    }

    /// Of a product that stands in the page.
    fn effect_on_row(&self, row: usize, side: &Sides<'_>) -> Effect {
        let is_unmoved = side.after.as_ref().is_some_and(|after| {
            self.passes(Some(after))
                && match after.key(self.query.sort) {
                    Some(key) => key == self.rows[row].place.key,
                    None => !side.changes_words,
                }
        });
        if is_unmoved { Effect::Body(row) } else { Effect::Moved }
    }

    /// Of a product that does not.
    fn effect_beside(&self, id: ProductId, side: &Sides<'_>) -> Effect {
        let sort = self.query.sort;
        let after = side.after.as_ref().filter(|after| self.passes(Some(after)));
        let before = side.before.as_ref().filter(|before| self.passes(Some(before)));
        let is_unmoved = match (before, after) {
            (None, None) => true,
            (Some(before), Some(after)) => match after.key(sort) {
                Some(key) => before.key_like(after, sort) == Some(key),
                None => !side.changes_words,
            },
            _ => false,
        };
        if is_unmoved {
            return Effect::None;
        }
        let may_stand_here = |key: Option<SortKey>| key.is_none_or(|key| self.holds(&LastSeen { key, id }));
        let stands_here = after.is_some_and(|after| may_stand_here(after.key(sort)));
        // A page knows all that stands in it. One that is counted from the beginning does not know what stands before it.
        let stood_here = self.is_counted()
            && before.is_some_and(|before| {
                may_stand_here(
                    side.after.as_ref().map_or_else(|| before.key(sort), |after| before.key_like(after, sort)),
                )
            });
        if stood_here || stands_here { Effect::Moved } else { Effect::None }
    }

    /// Whether a product stands in the list. Of words that are not known it is assumed that they are those looked for.
    fn passes(&self, listed: Option<&Listed<'_>>) -> bool {
        listed.is_some_and(|listed| {
            listed.passes(&self.query.filters)
                && match (&self.stage, listed.words) {
                    (Some(stage), Some(words)) => stage.is_met_by(words),
                    _ => true,
                }
        })
    }

    /// Whether a place lies between where the page begins, or the list if pages are counted, and the row after the last.
    fn holds(&self, place: &LastSeen) -> bool {
        let sort = self.query.sort;
        let is_begun = match &self.query.begin {
            Begin::After(last) => place.cmp_in(last, sort).is_gt(),
            Begin::AtPage(_) => true,
        };
        let has_next = self.rows.len() > self.query.limit as usize;
        is_begun && !(has_next && self.rows.last().is_some_and(|end| place.cmp_in(&end.place, sort).is_gt()))
    }

    fn is_counted(&self) -> bool {
        matches!(self.query.begin, Begin::AtPage(2..))
    }
}

/// The two sides of a change.
struct Sides<'a> {
    before: Option<Listed<'a>>,
    after: Option<Listed<'a>>,
    /// Whether the texts differ, or may.
    changes_words: bool,
}

impl<'a> Sides<'a> {
    fn of(change: &'a Change) -> Self {
        let words = change.words.as_ref();
        let after_words = words.and_then(|words| words.after.as_deref());
        let is_update = change.before.is_some() && change.after.is_some();
        let changes_words = !is_update || words.is_none_or(|words| words.before.is_some());
        let before_words = if changes_words { words.and_then(|words| words.before.as_deref()) } else { after_words };
        Self {
            before: change.before.as_ref().map(|before| Listed::before(before, before_words)),
            after: change.after.as_ref().map(|after| Listed::after(after, after_words)),
            changes_words,
        }
    }
}

/// What of a product decides where it stands, on one side of a change.
struct Listed<'a> {
    name: &'a Name,
    brand: Option<&'a str>,
    category: Option<&'a str>,
    /// In minor units.
    price: i64,
    currency: Currency,
    in_stock: bool,
    /// Not known of what was before; it never changes.
    created_at: Option<OffsetDateTime>,
    words: Option<&'a str>,
}

impl<'a> Listed<'a> {
    fn before(before: &'a ListFields, words: Option<&'a str>) -> Self {
        Self {
            name: &before.name,
            brand: before.brand.as_ref().map(Brand::as_str),
            category: before.category.as_ref().map(Category::as_str),
            price: before.price.minor(),
            currency: before.currency,
            in_stock: before.stock.get() > 0,
            created_at: None,
            words,
        }
    }

    fn after(after: &'a Product, words: Option<&'a str>) -> Self {
        Self {
            name: &after.name,
            brand: after.brand.as_ref().map(Brand::as_str),
            category: after.category.as_ref().map(Category::as_str),
            price: after.price.minor(),
            currency: after.currency,
            in_stock: after.stock.get() > 0,
            created_at: Some(after.created_at),
            words,
        }
    }

    fn passes(&self, filters: &Filters) -> bool {
        let Filters { brand, category, in_stock, min_price, max_price, currency } = filters;
        brand.as_ref().is_none_or(|brand| self.brand == Some(brand.as_str()))
            && category.as_ref().is_none_or(|wanted| self.category.is_some_and(|path| is_within(wanted, path)))
            && in_stock.is_none_or(|in_stock| self.in_stock == in_stock)
            && currency.is_none_or(|currency| self.currency == currency)
            && min_price.is_none_or(|min| self.price >= min.minor())
            && max_price.is_none_or(|max| self.price <= max.minor())
    }

    /// What it is sorted by; `None` if that is not known.
    fn key(&self, sort: Sort) -> Option<SortKey> {
        match sort {
            Sort::Relevance => None,
            Sort::Id => Some(SortKey::Id),
            Sort::Name => Some(SortKey::Name(self.name.clone())),
            Sort::Price | Sort::PriceDescending => Some(SortKey::Price(self.price)),
            Sort::NewestFirst => self.created_at.map(SortKey::CreatedAt),
        }
    }

    /// The same for what was before `after`.
    fn key_like(&self, after: &Self, sort: Sort) -> Option<SortKey> {
        match sort {
            Sort::NewestFirst => after.key(sort),
            _ => self.key(sort),
        }
    }
}

fn is_within(wanted: &CategoryFilter, path: &str) -> bool {
    path.strip_prefix(wanted.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
