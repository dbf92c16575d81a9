//! The hot path: a product kept near, for a plain `GET`, answered before the request is routed.
//!
//! Architecture invariant: what is answered here is what [`get_product`](super::product::get_product) would answer, header
//! by header.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use bootstrap::{AtHand, Head};
use cache::Content;
use catalog::ProductId;

use super::conditional::{CACHE_STATUS, CATALOG_AS_OF, VARY};
use crate::log::{AsOf, SharedLog};
use crate::measures;
use crate::products::Trace;

const ROUTE: &str = "/products/{id}";
const PREFIX: &str = "/products/";
/// Requests with one of these are answered the long way.
const SPECIAL: [HeaderName; 3] =
    [header::IF_NONE_MATCH, header::CACHE_CONTROL, HeaderName::from_static("consistency-token")];

/// Answers of products that are kept near.
#[derive(Debug)]
pub(crate) struct HotAnswers {
    log: Arc<SharedLog>,
    /// The headers of every such answer; those that differ have their places.
    headers: HeaderMap,
}

impl HotAnswers {
    pub(crate) fn new(log: Arc<SharedLog>, cache_control: &HeaderValue) -> Self {
        let place = HeaderValue::from_static("");
        let status = Trace::Near.to_string();
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::ETAG, place.clone()),
            (header::CACHE_CONTROL, cache_control.clone()),
            (header::VARY, VARY),
            (CACHE_STATUS, HeaderValue::try_from(status).expect("cache statuses are visible ASCII")),
            (CATALOG_AS_OF, place.clone()),
            (HeaderName::from_static("x-request-id"), place),
        ];
        Self { log, headers: HeaderMap::from_iter(headers) }
    }

    /// The answer to a request for a product, if nothing about it is special.
    pub(crate) fn get(&self, head: Head<'_>) -> Option<AtHand> {
        let id: ProductId = head.uri.path().strip_prefix(PREFIX)?.parse().ok()?;
        if *head.method != Method::GET || SPECIAL.iter().any(|name| head.headers.contains_key(name)) {
            return None;
        }
        // Before the product is looked at: the moment must not be later than what it vouches for.
        let as_of = self.log.as_of();
        let near = self.log.near(id, head.begun).ok()??;
        let Content::Product(body) = &near.entry.content else { return None };
        let as_of = AsOf::header_for(as_of.as_deref(), near.entry.epoch)?;
        let mut headers = self.headers.clone();
        headers.insert(header::ETAG, near.etag.clone());
        headers.insert(CATALOG_AS_OF, as_of);
        let mut answer = Response::new(Body::from(body.clone()));
        *answer.headers_mut() = headers;
        Some(AtHand { route: ROUTE, answer, on_answer: measures::near_hit })
    }
}
