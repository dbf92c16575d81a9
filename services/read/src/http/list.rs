//! `GET /products` without names: the products that pass the filters, page by page.

use std::sync::Arc;

use axum::http::{HeaderMap, header};
use axum::response::Response;

use super::conditional::{Cacheable, EntityTag, conditional};
use crate::App;
use crate::demand::Demand;
use crate::error::ReadError;
use crate::pages::{Page, PageQuery};

/// The cache status where nothing needed to be asked.
const NOT_ASKED: &str = "redis; fwd=bypass; detail=none";

/// Answers a query that describes a list.
pub(super) async fn get_list(
    app: &App,
    pairs: Vec<(String, String)>,
    demand: &Demand,
    request: &HeaderMap,
) -> Result<Response, ReadError> {
    page(app, PageQuery::list(pairs, app.default_currency)?, demand, request).await
}

/// One page of a list or of a search.
pub(super) async fn page(
    app: &App,
    mut query: PageQuery,
    demand: &Demand,
    request: &HeaderMap,
) -> Result<Response, ReadError> {
    let fields = query.fields.take();
    let (page, cache_status, as_of) = if query.filters.are_contradictory() {
        (Arc::new(Page::empty(query)), NOT_ASKED.to_owned(), None)
    } else {
        let (answer, as_of) = app.pages.get(query, demand).await?;
        (answer.value, answer.trace.to_string(), as_of)
    };
    let (body, etag, links) = match &fields {
        None => (page.body.clone(), page.etag.clone(), page.links.clone()),
        Some(fields) => {
            let (body, links) = page.sparse(fields);
            let etag = EntityTag::of_body(&body);
            (body, etag, links)
        }
    };
    let mut answer = conditional(request, &app.cache_control, Cacheable { body, etag, cache_status, as_of });
    if let Some(links) = links {
        answer.headers_mut().insert(header::LINK, links);
    }
    Ok(answer)
}
