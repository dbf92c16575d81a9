//! Reads a page from the databases: nothing caches pages.

use std::time::Duration;

use freshness::Provenance;
use tokio::time::timeout;

use super::{PageQuery, ProductPage};
use crate::error::ReadError;
use crate::log::SharedLog;
use crate::products::{Answer, Trace};
use crate::sources::{Sources, Work};
use crate::store;

/// Longest reading of a page: searches for common words look at many rows, and one more source may have to be asked.
const READ_MAX: Duration = Duration::from_secs(5);

/// The page asked for. Each of its products is at least as new as this node knows it to be.
pub(crate) async fn read_page(
    sources: &Sources,
    log: &SharedLog,
    query: &PageQuery,
) -> Result<Answer<ProductPage>, ReadError> {
    let read = sources.read(
        Work::Search,
        |connection, query| Box::pin(store::page(connection, query)),
        query,
        |found, epoch, read_at| {
            log.admit_page(epoch, read_at)?;
            found.iter().try_for_each(|found| {
                log.admit_row(found.product.id, Provenance { epoch, version: found.product.version, read_at })
            })
        },
    );
    let read = timeout(READ_MAX, read).await.map_err(|_| ReadError::Late)??;
    let page = ProductPage::new(query, read.value);
    for product in &page.items {
        let provenance = Provenance { epoch: read.epoch, version: product.version, read_at: read.read_at };
        log.answered(product.id, provenance);
    }
    Ok(Answer { value: page, trace: Trace::bypassed(read.source) })
}
