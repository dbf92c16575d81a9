//! One page of a list: its products, and where the next one begins.

use std::sync::Arc;

use axum::http::HeaderValue;
use bytes::Bytes;
use catalog::Product;
use events::{Epoch, Position};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cursor::{LastSeen, SortKey};
use super::extent::{Extent, Row};
use super::fields::Fields;
use super::query::{Begin, PageQuery, Sort};
use super::tally::{Facets, Tally, Total};
use super::terms::Stage;
use crate::http::EntityTag;

/// What a database had for a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub(crate) stage: Option<Stage>,
    /// In order; one more than the page holds, and [`SPARE`](super::SPARE), if there are so many.
    pub(crate) found: Vec<Found>,
    /// Whether the list ends with the last of them.
    pub(crate) is_whole: bool,
    pub(crate) tally: Tally,
    /// A position read after it: whatever it shows is below.
    pub(crate) read_by: Position,
}

/// A product of a list, and how well it matches if it was searched for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    pub(crate) product: Product,
    /// Written bit by bit: by it a cursor goes on.
    #[serde(with = "bits")]
    pub(crate) rank: f64,
}

mod bits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(rank: &f64, to: S) -> Result<S::Ok, S::Error> {
        rank.to_bits().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        Ok(f64::from_bits(u64::deserialize(from)?))
    }
}

/// A page of products in the order asked for
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductPage {
    #[schema(max_items = 100)]
    pub(crate) items: Vec<Product>,
    /// What to send as `cursor` for the next page; null on the last page.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
    /// How many products the whole list has, if `count` asks for it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) total: Option<Total>,
    /// How many products of the whole list have which values, if `facets` asks for it
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) facets: Option<Facets>,
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
        let Listing { stage, found, is_whole, tally, .. } = listing;
        let row = |found: &Found| Row {
            place: last_seen(query.sort, found),
            version: found.product.version,
            body: found.product.to_json().into(),
        };
        let rows = found.iter().map(row).collect();
        Self::of(epoch, Extent { query, stage, rows, is_whole, tally })
    }

    /// The page that a stretch shows.
    pub(crate) fn of(epoch: Epoch, mut extent: Extent) -> Self {
        let mut items = Vec::with_capacity(extent.query.limit as usize);
        let body = Bytes::from(extent.write(|row, body| {
            let begin = body.len();
            body.extend_from_slice(&row.body);
            items.push(begin..body.len());
        }));
        // One copy of each is enough.
        for (row, item) in extent.rows.iter_mut().zip(items) {
            row.body = body.slice(item);
        }
        // What stood in an earlier body must not hold on to all of it.
        for row in extent.rows.iter_mut().skip(extent.query.limit as usize) {
            row.body = Bytes::copy_from_slice(&row.body);
        }
        let links = extent.links(None);
        Self { epoch, extent, etag: EntityTag::of_body(&body), body, links }
    }

    /// The products of the page, read from their bodies.
    pub(crate) fn products(&self) -> serde_json::Result<Vec<Product>> {
        self.extent.page().iter().map(|row| serde_json::from_slice(&row.body)).collect()
    }

    /// Body and links with some fields of each product.
    pub(crate) fn sparse(&self, fields: &Fields) -> (Bytes, Option<HeaderValue>) {
        let body = self.extent.write(|row, body| fields.push(&row.body, body));
        (body.into(), self.extent.links(Some(fields)))
    }

    /// The page of a query that no product can meet.
    pub(crate) fn empty(query: PageQuery) -> Self {
        let tally = Tally::of_nothing(query.wanted);
        let listing = Listing { stage: None, found: Vec::new(), is_whole: true, tally, read_by: Position::default() };
        Self::new(Epoch::default(), Arc::new(query), listing)
    }
}

impl Extent {
    /// The products of the page, without what is spare.
    fn page(&self) -> &[Row] {
        &self.rows[..self.rows.len().min(self.query.limit as usize)]
    }

    fn next_cursor(&self) -> Option<String> {
        let last = self.page().last().filter(|_| self.rows.len() > self.page().len());
        last.map(|last| self.query.cursor_after(&last.place))
    }

    /// A [`ProductPage`], with each product as `push` writes it.
    fn write(&self, mut push: impl FnMut(&Row, &mut Vec<u8>)) -> Vec<u8> {
        let mut body = br#"{"items":["#.to_vec();
        for (at, row) in self.page().iter().enumerate() {
            if at > 0 {
                body.push(b',');
            }
            push(row, &mut body);
        }
        body.extend_from_slice(b"],\"next_cursor\":");
        push_json(&mut body, &self.next_cursor());
        if let Some(total) = self.tally.total {
            body.extend_from_slice(b",\"total\":");
            push_json(&mut body, &total);
        }
        if let Some(facets) = self.tally.facets(self.query.wanted) {
            body.extend_from_slice(b",\"facets\":");
            push_json(&mut body, &facets);
        }
        body.push(b'}');
        body
    }

    /// `next` is a cursor also where pages are counted: it reaches further, and no change of the list makes it skip or repeat
    /// a product.
    fn links(&self, fields: Option<&Fields>) -> Option<HeaderValue> {
        let query = &self.query;
        let mut links = Vec::new();
        if query.begin != Begin::AtPage(1) {
            links.push(query.link("first", ("page", "1"), fields));
        }
        if let Begin::AtPage(page @ 2..) = query.begin {
            links.push(query.link("prev", ("page", &(page - 1).to_string()), fields));
        }
        if let Some(cursor) = self.next_cursor() {
            links.push(query.link("next", ("cursor", &cursor), fields));
        }
        let links = (!links.is_empty()).then(|| links.join(", "))?;
        Some(HeaderValue::try_from(links).expect("links are escaped to ASCII"))
    }
}

fn push_json(body: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(body, value).expect("numbers and strings always serialize");
}

pub(super) fn last_seen(sort: Sort, Found { product: last, rank }: &Found) -> LastSeen {
    let key = match sort {
        Sort::Relevance => SortKey::Rank(*rank),
        Sort::Id => SortKey::Id,
        Sort::Name => SortKey::Name(last.name.clone()),
        Sort::Price | Sort::PriceDescending => SortKey::Price(last.price.minor()),
        Sort::NewestFirst => SortKey::CreatedAt(last.created_at),
    };
    LastSeen { key, id: last.id }
}
