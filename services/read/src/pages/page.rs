//! One page of a list: its products, and where the next one begins.

use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;
use catalog::Product;
use events::{Epoch, Position};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cursor::{LastSeen, SortKey};
use super::extent::{Extent, Row, SPARE};
use super::query::{Begin, PageQuery, Sort};
use super::terms::Stage;
use crate::http::EntityTag;

/// What a database had for a page.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub(crate) stage: Option<Stage>,
    /// In order; one more than the page holds, and [`SPARE`], if there are so many.
    pub(crate) found: Vec<Found>,
    /// A position read after it: whatever it shows is below.
    pub(crate) read_by: Position,
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

/// A page as it is answered, and what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) epoch: Epoch,
    pub(crate) extent: Extent,
    pub(crate) body: Bytes,
    pub(crate) etag: EntityTag,
    /// The header `Link` (RFC 8288), if there is another page to go to.
    pub(crate) links: Option<HeaderValue>,
}

impl Page {
    pub(crate) fn new(epoch: Epoch, query: Arc<PageQuery>, listing: Listing) -> Self {
        let Listing { stage, found, .. } = listing;
        let is_whole = found.len() <= (query.limit + SPARE) as usize;
        let row = |found: &Found| Row {
            place: last_seen(query.sort, found),
            version: found.product.version,
            body: found.product.to_json().into(),
        };
        let rows = found.iter().map(row).collect();
        Self::of(epoch, Extent { query, stage, rows, is_whole })
    }

    /// The page that a stretch shows.
    pub(crate) fn of(epoch: Epoch, mut extent: Extent) -> Self {
        let query = Arc::clone(&extent.query);
        let limit = query.limit as usize;
        let next_cursor = (extent.rows.len() > limit).then(|| query.cursor_after(&extent.rows[limit - 1].place));
        let mut body = br#"{"items":["#.to_vec();
        let mut items = Vec::with_capacity(limit);
        for row in extent.rows.iter().take(limit) {
            if !items.is_empty() {
                body.push(b',');
            }
            let begin = body.len();
            body.extend_from_slice(&row.body);
            items.push(begin..body.len());
        }
        let next = serde_json::to_string(&next_cursor).expect("strings always serialize");
        body.extend_from_slice(format!("],\"next_cursor\":{next}}}").as_bytes());
        let body = Bytes::from(body);
        // One copy of each is enough.
        for (row, item) in extent.rows.iter_mut().zip(items) {
            row.body = body.slice(item);
        }
        // What stood in an earlier body must not hold on to all of it.
        for row in extent.rows.iter_mut().skip(limit) {
            row.body = Bytes::copy_from_slice(&row.body);
        }
        let links = links(&query, next_cursor.as_deref());
        Self { epoch, extent, etag: EntityTag::of_body(&body), body, links }
    }

    /// The page of a query that no product can meet.
    pub(crate) fn empty(query: PageQuery) -> Self {
        let listing = Listing { stage: None, found: Vec::new(), read_by: Position::default() };
        Self::new(Epoch::default(), Arc::new(query), listing)
    }
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
