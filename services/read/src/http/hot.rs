//! The hot path: what is kept near, for a plain `GET`, answered before the request is routed.
//!
//! Architecture invariant: what is answered here is what [`get_product`](super::product::get_product) or
//! [`page`](super::list::page) would answer, header by header.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use bootstrap::{AtHand, Head};
use bytes::Bytes;
use cache::Content;
use catalog::ProductId;

use super::conditional::{CACHE_STATUS, CATALOG_AS_OF, VARY};
use crate::log::AsOf;
use crate::pages::PageQuery;
use crate::products::Trace;
use crate::{App, measures};

const PRODUCT: &str = "/products/{id}";
const PRODUCTS: &str = "/products/";
const LIST: &str = "/products";
const SEARCH: &str = "/products/search";
/// Requests with one of these are answered the long way.
const SPECIAL: [HeaderName; 3] =
    [header::IF_NONE_MATCH, header::CACHE_CONTROL, HeaderName::from_static("consistency-token")];

/// Answers of what is kept near.
#[derive(Debug)]
pub(crate) struct HotAnswers {
    app: Arc<App>,
    /// The headers of every such answer; those that differ have their places.
    headers: HeaderMap,
}

impl HotAnswers {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        let place = HeaderValue::from_static("");
        let status = Trace::Near.to_string();
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::ETAG, place.clone()),
            (header::CACHE_CONTROL, app.cache_control.clone()),
            (header::VARY, VARY),
            (CACHE_STATUS, HeaderValue::try_from(status).expect("cache statuses are visible ASCII")),
            (CATALOG_AS_OF, place.clone()),
            (HeaderName::from_static("x-request-id"), place),
        ];
        Self { app: Arc::clone(app), headers: HeaderMap::from_iter(headers) }
    }

    /// The answer to a request, if nothing about it is special.
    pub(crate) fn get(&self, head: Head<'_>) -> Option<AtHand> {
        let path = head.uri.path();
        if !path.starts_with(LIST)
            || *head.method != Method::GET
            || SPECIAL.iter().any(|name| head.headers.contains_key(name))
        {
            return None;
        }
        match path {
            LIST => self.page(head, LIST),
            SEARCH => self.page(head, SEARCH),
            _ if head.uri.query().is_some() => None,
            _ => self.product(path.strip_prefix(PRODUCTS)?.parse().ok()?, head),
        }
    }

    fn product(&self, id: ProductId, head: Head<'_>) -> Option<AtHand> {
        let log = &self.app.log;
        // Before the product is looked at: the moment must not be later than what it vouches for.
        let as_of = log.as_of();
        let near = log.near(id, head.begun).ok()??;
        let Content::Product(body) = &near.entry.content else { return None };
        let as_of = AsOf::header_for(as_of.as_deref(), near.entry.epoch)?;
        let answer = self.answer(body, near.etag.clone(), as_of);
        Some(AtHand { route: PRODUCT, answer, on_answer: measures::near_hit })
    }

    /// Not for whoever takes compressed answers: pages are long enough to be compressed.
    fn page(&self, head: Head<'_>, route: &'static str) -> Option<AtHand> {
        if head.headers.contains_key(header::ACCEPT_ENCODING) {
            return None;
        }
        let pairs = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let read = if route == SEARCH { PageQuery::search } else { PageQuery::list };
        let query = read(pairs, self.app.default_currency).ok().filter(|query| query.fields.is_none())?;
        let (page, as_of) = self.app.pages.at_hand(&query)?;
        let mut answer = self.answer(&page.body, page.etag.header(), as_of);
        if let Some(links) = &page.links {
            answer.headers_mut().insert(header::LINK, links.clone());
        }
        Some(AtHand { route, answer, on_answer: measures::page_hit })
    }

    fn answer(&self, body: &Bytes, etag: HeaderValue, as_of: HeaderValue) -> Response {
        let mut headers = self.headers.clone();
        headers.insert(header::ETAG, etag);
        headers.insert(CATALOG_AS_OF, as_of);
        let mut answer = Response::new(Body::from(body.clone()));
        *answer.headers_mut() = headers;
        answer
    }
}
