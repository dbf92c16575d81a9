//! One page of a list: its products, and where the next one begins.

use std::ops::Range;
use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;
use catalog::Product;
use events::Epoch;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cursor::{LastSeen, SortKey};
use super::extent::{Extent, Row};
use super::query::{Begin, PageQuery, Sort};
use super::terms::Stage;
use crate::http::EntityTag;

/// What a database had for a page.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) stage: Option<Stage>,
    /// In order; one more than the page holds if there is a next one.
    pub(crate) found: Vec<Found>,
}

/// A product of a list, and how well it matches if it was searched for.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) product: Product,
    pub(crate) rank: f64,
}

/// A page of products in the order asked for
///
/// What [`Page`] writes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductPage {
    #[schema(max_items = 100)]
    pub(crate) items: Vec<Product>,
    /// What to send as `cursor` for the next page; null on the last page.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// A page as it is answered, and what it is checked by.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) epoch: Epoch,
    pub(crate) extent: Extent,
    pub(crate) body: Bytes,
    pub(crate) etag: EntityTag,
    /// The header `Link` (RFC 8288), if there is another page to go to.
    pub(crate) links: Option<HeaderValue>,
    /// Where the products stand in the body.
    items: Vec<Range<usize>>,
    /// The end of the body.
    end: String,
}

impl Page {
    pub(crate) fn new(epoch: Epoch, query: Arc<PageQuery>, listing: Listing) -> Self {
        let limit = query.limit as usize;
        let place = |found: &Found| last_seen(query.sort, found);
        let has_next = listing.found.len() > limit;
        let last = listing.found.get(limit.wrapping_sub(1)).filter(|_| has_next);
        let next_cursor = last.map(|last| query.cursor_after(&place(last)));
        let links = links(&query, next_cursor.as_deref());
        let rows =
            listing.found.iter().map(|found| Row { place: place(found), version: found.product.version }).collect();
        let bodies: Vec<Vec<u8>> = listing.found.iter().take(limit).map(|found| found.product.to_json()).collect();
        let next = serde_json::to_string(&next_cursor).expect("strings always serialize");
        let end = format!("],\"next_cursor\":{next}}}");
        let (body, items) = render(bodies.iter().map(Vec::as_slice), &end);
        let etag = EntityTag::of_body(&body);
        Self { epoch, extent: Extent { query, stage: listing.stage, rows }, body, etag, links, items, end }
    }

    /// The page of a query that no product can meet.
    pub(crate) fn empty(query: PageQuery) -> Self {
        Self::new(Epoch::default(), Arc::new(query), Listing { stage: None, found: Vec::new() })
    }

    /// The page with other bodies in some of its rows, whose places stay.
    pub(crate) fn with_bodies(&self, changed: &[(usize, &Product)]) -> Self {
        let mut page = self.clone();
        let mut bodies: Vec<Bytes> = self.items.iter().map(|item| self.body.slice(item.clone())).collect();
        for (at, product) in changed {
            page.extent.rows[*at].version = product.version;
            // The row after the last shows no body.
            if let Some(body) = bodies.get_mut(*at) {
                *body = product.to_json().into();
            }
        }
        (page.body, page.items) = render(bodies.iter().map(|body| &body[..]), &self.end);
        page.etag = EntityTag::of_body(&page.body);
        page
    }
}

/// Puts the bodies together as they are.
fn render<'a>(bodies: impl Iterator<Item = &'a [u8]>, end: &str) -> (Bytes, Vec<Range<usize>>) {
    let mut rendered = br#"{"items":["#.to_vec();
    let mut items = Vec::new();
    for body in bodies {
        if !items.is_empty() {
            rendered.push(b',');
        }
        let begin = rendered.len();
        rendered.extend_from_slice(body);
        items.push(begin..rendered.len());
    }
    rendered.extend_from_slice(end.as_bytes());
    (rendered.into(), items)
}

/// `next` is a cursor also where pages are counted: it reaches further, and no change of the list makes it skip or repeat a
/// product.
fn links(query: &PageQuery, next_cursor: Option<&str>) -> Option<HeaderValue> {
    let mut links = Vec::new();
    if query.begin != Begin::AtPage(1) {
        links.push(query.link("first", ("page", "1")));
    }
    if let Begin::AtPage(page @ 2..) = query.begin {
        links.push(query.link("prev", ("page", &(page - 1).to_string())));
    }
    if let Some(cursor) = next_cursor {
        links.push(query.link("next", ("cursor", cursor)));
    }
    let links = (!links.is_empty()).then(|| links.join(", "))?;
    Some(HeaderValue::try_from(links).expect("links are escaped to ASCII"))
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
