//! What a page holds of its list, and what a change does to that.
//!
//! Architecture invariant: after a change the rows are those that Postgres would give, whatever the change. What cannot be
//! told from the change and the rows alone is lost.

use std::sync::Arc;

use bytes::Bytes;
use catalog::{Brand, Category, CategoryFilter, Currency, ListFields, Name, Product, ProductId, Version};
use events::Change;
use time::OffsetDateTime;

use super::cursor::{LastSeen, SortKey};
use super::filters::Filters;
use super::page::{Found, last_seen};
use super::query::{Begin, PageQuery, Sort};
use super::tally::Tally;
use super::terms::{Reach, Stage};

/// Rows that are read beyond the page and the one after it: so many products may leave before it is read anew.
pub(crate) const SPARE: u32 = 6;

/// A stretch of a list, as one snapshot showed it and changes have left it.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    pub(crate) query: Arc<PageQuery>,
    /// What a search looked for in the end.
    pub(crate) stage: Option<Stage>,
    /// The products of the page in order, and some after them.
    pub(crate) rows: Vec<Row>,
    /// Whether the list ends with the last of them.
    pub(crate) is_whole: bool,
    pub(crate) tally: Tally,
}

/// A product in a stretch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) place: LastSeen,
    pub(crate) version: Version,
    /// As it is answered.
    pub(crate) body: Bytes,
}

/// What a change does to a stretch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    None,
    /// The row at `from` goes, and a row comes at `to`; either may be absent, and a product that stays where it is has both.
    Rows {
        from: Option<usize>,
        to: Option<LastSeen>,
        /// Whether what is told of the whole list changes.
        tallies: bool,
    },
    /// What stands there now is not known.
    Lost,
}

impl Extent {
    /// What a change does that the stretch may or may not hold already.
    ///
    /// `is_settled` says that the log has shown everything that the snapshot held of products that are not in the stretch:
    /// until then a product that seems to come in may have gone on already.
    pub(crate) fn effect_of(&self, change: &Change, is_settled: bool) -> Effect {
        let row = self.rows.iter().position(|row| row.place.id == change.id);
        if row.is_some_and(|row| self.rows[row].version >= change.version) {
            return Effect::None;
        }
        let side = Sides::of(change);
        let (was, is) = (self.passes(side.before.as_ref()), self.passes(side.after.as_ref()));
        if self.stage.as_ref().is_some_and(|stage| self.may_reach_otherwise(stage, &side, was, is)) {
            return Effect::Lost;
        }
        let sort = self.query.sort;
        let to = match side.after.as_ref().filter(|_| is).map(|after| after.key(sort)) {
            None => None,
            Some(Some(key)) => Some(LastSeen { key, id: change.id }),
            // A rank, which only Postgres knows and only a change of texts moves.
            Some(None) if !was => return Effect::Lost,
            Some(None) => row.map(|row| self.rows[row].place.clone()),
        };
        let to = to.filter(|place| self.holds(place));
        let tallies = self.tally.is_touched(self.query.wanted, &self.query.filters, self.listed(&side))
            && !self.tally.unheard.contains(&(change.id, change.version));
        if tallies && self.tally.is_overrun {
            return Effect::Lost;
        }
        // A page that is counted from the beginning does not know what stands before it.
        let to = if self.query.is_counted() {
            if !self.leaves_order(row, to.as_ref(), was.then_some(&side), is) {
                return Effect::Lost;
            }
            to.filter(|_| row.is_some())
        } else {
            to
        };
        match (row, &to) {
            (None, None) if !tallies => Effect::None,
            (None, _) if !is_settled => Effect::Lost,
            _ => Effect::Rows { from: row, to, tallies },
        }
    }

    /// Whether a change may have the search look for other words, or not enough is known of it.
    ///
    /// That depends on how many products have the words, whether or not they pass the filters, and on whether any of those
    /// passes.
    fn may_reach_otherwise(&self, stage: &Stage, side: &Sides<'_>, was: bool, is: bool) -> bool {
        let has_words = |listed: &Option<Listed<'_>>| {
            listed.as_ref().map_or(Some(false), |listed| listed.words.map(|words| stage.is_met_by(words)))
        };
        let (Some(had), Some(has)) = (has_words(&side.before), has_words(&side.after)) else {
            return was || is || side.changes_words;
        };
        let changes_counts = side.changes_words && (stage.reach == Reach::Some || had || has);
        changes_counts
            || if stage.reach == stage.terms.nearest() && !self.query.is_typing {
                // The last one to leave would have it reach further.
                was && !is && self.rows.iter().all(|row| row.place.id == side.id)
            } else {
                // One that comes may be what was looked for before.
                was != is
            }
    }

    /// Whether a change leaves the products of the list, up to the end of the stretch, in their order.
    fn leaves_order(&self, row: Option<usize>, to: Option<&LastSeen>, was: Option<&Sides<'_>>, is: bool) -> bool {
        let sort = self.query.sort;
        if let Some(row) = row {
            return to == Some(&self.rows[row].place);
        }
        let was = was.and_then(|side| Some((side, side.before.as_ref()?))).map(|(side, before)| {
            let key = side.after.as_ref().map_or_else(|| before.key(sort), |after| before.key_like(after, sort));
            key.map(|key| LastSeen { key, id: side.id })
        });
        match (was, to) {
            (None, None) => true,
            // Its rank is as it was.
            (Some(None), None) => sort == Sort::Relevance && is,
            (Some(Some(was)), to) => !self.holds(&was) && to.is_none() || to == Some(&was),
            _ => false,
        }
    }

    /// Whether an effect leaves the product where it stands.
    pub(crate) fn is_body(&self, from: Option<usize>, to: Option<&LastSeen>) -> bool {
        from.is_some_and(|from| to == Some(&self.rows[from].place))
    }

    /// Puts an effect into the rows and the tally; whether the page is still known.
    pub(crate) fn follow(&mut self, change: &Change, from: Option<usize>, to: Option<LastSeen>, tallies: bool) -> bool {
        if tallies {
            let side = Sides::of(change);
            let mut tally = std::mem::take(&mut self.tally);
            let is_known = tally.follow(self.query.wanted, &self.query.filters, self.listed(&side));
            self.tally = tally;
            if !is_known {
                return false;
            }
        }
        if let Some(from) = from {
            self.rows.remove(from);
        }
        if let (Some(place), Some(after)) = (to, &change.after) {
            let at = self.rows.partition_point(|row| row.place.cmp_in(&place, self.query.sort).is_lt());
            let body = after.to_json().into();
            self.rows.insert(at, Row { place, version: change.version, body });
        }
        let most = (self.query.limit + 1 + SPARE) as usize;
        if self.rows.len() > most {
            self.rows.truncate(most);
            self.is_whole = false;
        }
        self.is_whole || self.rows.len() > self.query.limit as usize
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

    /// The sides of a change that stand in the list.
    fn listed<'s, 'a>(&self, side: &'s Sides<'a>) -> [Option<&'s Listed<'a>>; 2] {
        [&side.before, &side.after].map(|listed| listed.as_ref().filter(|listed| self.passes(Some(listed))))
    }

    /// Whether a place lies between where the page begins, or the list if pages are counted, and the last row.
    fn holds(&self, place: &LastSeen) -> bool {
        let sort = self.query.sort;
        let is_begun = match &self.query.begin {
            Begin::After(last) => place.cmp_in(last, sort).is_gt(),
            Begin::AtPage(_) => true,
        };
        is_begun && (self.is_whole || self.rows.last().is_some_and(|end| place.cmp_in(&end.place, sort).is_le()))
    }
}

/// Whether products pass the filters of a query, and stand in its order.
pub(super) fn are_in_order(query: &PageQuery, found: &[Found]) -> bool {
    let is_before = |one: &Found, other: &Found| {
        last_seen(query.sort, one).cmp_in(&last_seen(query.sort, other), query.sort).is_lt()
    };
    found.iter().all(|found| Listed::after(&found.product, None).passes(&query.filters))
        && found.is_sorted_by(is_before)
}

/// The two sides of a change.
struct Sides<'a> {
    id: ProductId,
    before: Option<Listed<'a>>,
    after: Option<Listed<'a>>,
    /// Whether the texts differ, or may.
    changes_words: bool,
}

impl<'a> Sides<'a> {
    fn of(change: &'a Change) -> Self {
        let words = change.words.as_ref();
        let after_words = words.and_then(|words| words.after.as_deref());
        let changes_words = change.changes_words();
        let before_words = if changes_words { words.and_then(|words| words.before.as_deref()) } else { after_words };
        Self {
            id: change.id,
            before: change.before.as_ref().map(|before| Listed::before(before, before_words)),
            after: change.after.as_ref().map(|after| Listed::after(after, after_words)),
            changes_words,
        }
    }
}

/// What of a product decides where it stands, on one side of a change.
pub(super) struct Listed<'a> {
    name: &'a Name,
    pub(super) brand: Option<&'a str>,
    pub(super) category: Option<&'a str>,
    /// In minor units.
    pub(super) price: i64,
    pub(super) currency: Currency,
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
