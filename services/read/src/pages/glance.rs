//! A first look at a change: most tell at once, without a look at any text, that they do nothing to a page.
//!
//! Architecture invariant: whatever is sifted out has [`Effect::None`](super::extent::Effect). Hashes may collide, which lets
//! through what would not have to be.

use std::hash::{DefaultHasher, Hash, Hasher};

use catalog::{Brand, Category, Currency, ListFields, Price, Product, ProductId, Stock};
use events::Change;

use super::extent::Extent;
use super::query::Sort;

/// Steps of a category that are hashed: catalogues are seldom deeper.
const STEPS: usize = 4;

/// What of a change the first look sees, beside one another in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glance {
    id: ProductId,
    /// Whether what is searched as words differs, or may.
    changes_words: bool,
    before: Option<Seen>,
    after: Option<Seen>,
}

/// One side of a change.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// In minor units.
    price: i64,
    brand: u32,
    /// Of the first step of the category, the first two and so on.
    categories: [u32; STEPS],
    currency: Currency,
    in_stock: bool,
}

/// What a page lets through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sieve {
    /// A bit for each of its products; more products share one.
    rows: u64,
    brand: Option<u32>,
    /// With the number of its steps, less one.
    category: Option<(usize, u32)>,
    min_price: i64,
    max_price: i64,
    currency: Option<Currency>,
    in_stock: Option<bool>,
    is_search: bool,
    is_by_relevance: bool,
    /// Whether it matters also what has left the list.
    sees_before: bool,
}

impl Glance {
    pub(crate) fn of(change: &Change) -> Self {
        Self {
            id: change.id,
            changes_words: change.changes_words(),
            before: change.before.as_ref().map(Seen::before),
            after: change.after.as_ref().map(Seen::after),
        }
    }
}

impl Seen {
    fn before(ListFields { price, brand, category, currency, stock, .. }: &ListFields) -> Self {
        Self::new(*price, brand.as_ref(), category.as_ref(), *currency, *stock)
    }

    fn after(Product { price, brand, category, currency, stock, .. }: &Product) -> Self {
        Self::new(*price, brand.as_ref(), category.as_ref(), *currency, *stock)
    }

    fn new(price: Price, brand: Option<&Brand>, category: Option<&Category>, currency: Currency, stock: Stock) -> Self {
        let (brand, categories) = (brand_hash(brand), category_hashes(category));
        Self { price: price.minor(), brand, categories, currency, in_stock: stock.get() > 0 }
    }
}

impl Sieve {
    pub(crate) fn of(extent: &Extent) -> Self {
        let (query, filters) = (&extent.query, &extent.query.filters);
        let category = filters.category.as_ref().and_then(|wanted| {
            let at = wanted.0.as_str().split('/').count() - 1;
            Some((at, *category_hashes(Some(&wanted.0)).get(at)?))
        });
        Self {
            rows: extent.rows.iter().fold(0, |rows, row| rows | bit(row.place.id)),
            brand: filters.brand.as_ref().map(|brand| brand_hash(Some(brand))),
            category,
            min_price: filters.min_price.map_or(i64::MIN, Price::minor),
            max_price: filters.max_price.map_or(i64::MAX, Price::minor),
            currency: filters.currency,
            in_stock: filters.in_stock,
            is_search: extent.stage.is_some(),
            is_by_relevance: query.sort == Sort::Relevance,
            sees_before: query.is_counted() || !query.wanted.is_nothing(),
        }
    }

    /// Whether the change has to be looked at more closely.
    pub(crate) fn lets_through(&self, glance: &Glance) -> bool {
        if self.rows & bit(glance.id) != 0 {
            return true;
        }
        let after = glance.after.is_some_and(|after| self.passes(&after));
        let before = || glance.before.is_some_and(|before| self.passes(&before));
        if self.is_search {
            // Which words are rare is told by all products, a rank by the product's own words alone. Two brands or categories
            // of one hash are not missed: to exchange them changes words.
            glance.changes_words || before() != after || after && (self.sees_before || !self.is_by_relevance)
        } else {
            after || self.sees_before && before()
        }
    }

    fn passes(&self, seen: &Seen) -> bool {
        self.category.is_none_or(|(at, hash)| seen.categories[at] == hash)
            && (self.min_price..=self.max_price).contains(&seen.price)
            && self.in_stock.is_none_or(|in_stock| seen.in_stock == in_stock)
            && self.brand.is_none_or(|brand| seen.brand == brand)
            && self.currency.is_none_or(|currency| seen.currency == currency)
    }
}

/// One of 64, by the id.
fn bit(id: ProductId) -> u64 {
    // Knuth's multiplicative hash spreads neighbouring ids.
    1 << (id.get().unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58)
}

fn brand_hash(brand: Option<&Brand>) -> u32 {
    brand.map_or(0, |brand| hash(brand.as_str()))
}

fn category_hashes(category: Option<&Category>) -> [u32; STEPS] {
    let mut hashes = [0; STEPS];
    let Some(path) = category.map(Category::as_str) else { return hashes };
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for (end, place) in ends.zip(&mut hashes) {
        *place = hash(&path[..end]);
    }
    hashes
}

#[expect(clippy::cast_possible_truncation, reason = "half of the hash is enough")]
fn hash(text: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() as u32
}
