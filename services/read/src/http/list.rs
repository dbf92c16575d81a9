//! `GET /products` without names: the products that pass the filters, page by page.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;

use super::conditional::{Cacheable, EntityTag, conditional};
use crate::App;
use crate::demand::Demand;
use crate::error::ReadError;
use crate::pages::{PageQuery, ProductPage, read_page};

/// The cache status where nothing needed to be asked.
const NOT_ASKED: &str = "redis; fwd=bypass; detail=none";

/// Answers a query that describes a list.
pub(super) async fn get_list(
    app: &App,
    pairs: Vec<(String, String)>,
    demand: &Demand,
    request: &HeaderMap,
) -> Result<Response, ReadError> {
    page(app, &PageQuery::list(pairs, app.default_currency)?, demand, request).await
}

/// One page of a list or of a search.
pub(super) async fn page(
    app: &App,
    query: &PageQuery,
    demand: &Demand,
    request: &HeaderMap,
) -> Result<Response, ReadError> {
    let (page, cache_status, as_of) = if query.filters.are_contradictory() {
        (ProductPage::EMPTY, NOT_ASKED.to_owned(), None)
    } else {
        let (answer, as_of) = read_page(&app.sources, &app.log, query, demand).await?;
        (answer.value, answer.trace.to_string(), as_of)
    };
    let body = Bytes::from(page.to_json());
    let found = Cacheable { etag: EntityTag::of_body(&body), body, cache_status, as_of };
    let mut answer = conditional(request, &app.cache_control, found);
    if let Some(links) = page.links(query) {
        let links = HeaderValue::try_from(links).expect("links are escaped to ASCII");
        answer.headers_mut().insert(header::LINK, links);
    }
    Ok(answer)
}
