//! One page of a list: its products, and where the next one begins.

use catalog::Product;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cursor::{LastSeen, SortKey};
use super::query::{Begin, PageQuery, Sort};

/// A product of a list, and how well it matches if it was searched for.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) product: Product,
    pub(crate) rank: f64,
}

/// A page of products in the order asked for.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductPage {
    #[schema(max_items = 100)]
    pub(crate) items: Vec<Product>,
    /// What to send as `cursor` for the next page; null on the last page.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

impl ProductPage {
    pub(crate) const EMPTY: Self = Self { items: Vec::new(), next_cursor: None };

    /// `found` holds one row more than the page if there is a next one.
    pub(crate) fn new(query: &PageQuery, mut found: Vec<Found>) -> Self {
        let has_next = found.len() > query.limit as usize;
        found.truncate(query.limit as usize);
        let last = found.last().filter(|_| has_next);
        let next_cursor = last.map(|last| query.cursor_after(&last_seen(query.sort, last)));
        Self { items: found.into_iter().map(|found| found.product).collect(), next_cursor }
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a page has string keys and no failing serializer")
    }

    /// The `Link` header (RFC 8288), if there is another page to go to. `next` is a cursor also where pages are counted:
    /// it reaches further, and no change of the list makes it skip or repeat a product.
    pub(crate) fn links(&self, query: &PageQuery) -> Option<String> {
        let mut links = Vec::new();
        if query.begin != Begin::AtPage(1) {
            links.push(query.link("first", ("page", "1")));
        }
        if let Begin::AtPage(page @ 2..) = query.begin {
            links.push(query.link("prev", ("page", &(page - 1).to_string())));
        }
        if let Some(cursor) = &self.next_cursor {
            links.push(query.link("next", ("cursor", cursor)));
        }
        (!links.is_empty()).then(|| links.join(", "))
    }
}

fn last_seen(sort: Sort, Found { product: last, rank }: &Found) -> LastSeen {
    let key = match sort {
        Sort::Relevance => SortKey::Rank(*rank),
        Sort::Id => SortKey::Id,
        Sort::Name => SortKey::Name(last.name.clone()),
        Sort::Price | Sort::PriceDescending => SortKey::Price(last.price.minor()),
        Sort::NewestFirst => SortKey::CreatedAt(last.created_at),
    };
    LastSeen { key, id: last.id }
}
