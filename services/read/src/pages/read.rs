//! Reads a page from the databases: nothing caches pages.

use std::time::Duration;

use axum::http::HeaderValue;
use freshness::Provenance;
use tokio::time::timeout;

use super::{Found, PageQuery, ProductPage};
use crate::demand::Demand;
use crate::error::ReadError;
use crate::log::SharedLog;
use crate::measures;
use crate::products::{Answer, Trace};
use crate::sources::{Sourced, Sources, Work};
use crate::store;

/// Longest reading of a page: searches for common words look at many rows, and one more source may have to be asked.
const READ_MAX: Duration = Duration::from_secs(5);

/// A page, and its `Catalog-As-Of`.
type Read = (Answer<ProductPage>, Option<HeaderValue>);

/// The page asked for, and its `Catalog-As-Of`. Each of its products is at least as new as this node knows it to be.
pub(crate) async fn read_page(
    sources: &Sources,
    log: &SharedLog,
    query: &PageQuery,
    demand: &Demand,
) -> Result<Read, ReadError> {
    let read = read_demanded(sources, log, query, demand).await;
    measures::demanded(demand, read.as_ref().map(|(answer, _)| &answer.trace));
    read
}

async fn read_demanded(
    sources: &Sources,
    log: &SharedLog,
    query: &PageQuery,
    demand: &Demand,
) -> Result<Read, ReadError> {
    let way = sources.way(demand.no_cache).await?;
    let read = sources.read(
        &way,
        Work::Search,
        |connection, query| Box::pin(store::page(connection, query)),
        query,
        |answer| {
            let &Sourced { epoch, read_at, .. } = answer;
            log.admit_page(epoch, read_at)?;
            for Found { product, .. } in &answer.value {
                log.admit_row(product.id, Provenance { epoch, version: product.version, read_at })?;
            }
            answer.includes(&demand.including)
        },
    );
    let read = timeout(READ_MAX, read).await.map_err(|_| ReadError::Late)??;
    let page = ProductPage::new(query, read.value);
    for product in &page.items {
        let provenance = Provenance { epoch: read.epoch, version: product.version, read_at: read.read_at };
        log.answered(product.id, provenance);
    }
    let as_of = log.as_of_source(read.epoch, read.read_at);
    Ok((Answer { value: page, trace: Trace::past(demand, read.source) }, as_of))
}
