//! The rows of a page of a plain list: gathered and then sorted, or in the order of an index.

use sqlx::{Postgres, QueryBuilder};

use super::matches::{Among, push_filters, push_matches};
use super::page::{Fetched, PAGE, Shown, fetch, order, push_after, push_window};
use super::paths::paths;
use super::snapshot::Snapshot;
use super::tally::{count_up_to, tally};
use crate::pages::{Begin, COUNTED_MAX, Count, PageQuery, SPARE, Sort};

/// More are walked by name before they are gathered: but for those of a brand names stand in no index together with what
/// they are filtered by, so each is looked up.
const NAMES_GATHERED_MAX: u64 = 5_000;
/// Names that are walked by, before the list is gathered after all: four times as far as the first page of 5,000 products
/// among a million is expected to reach.
const NAMES_WALKED_MAX: i64 = 20_000;

/// The products of a list, gathered and then sorted if they are few, or else in the order of an index until there are enough.
///
/// Left to itself Postgres guesses, and walks an index from end to end where a brand stands at the end of it.
pub(super) async fn list_page(snapshot: &mut Snapshot<'_>, query: &PageQuery) -> Result<Shown, sqlx::Error> {
    let is_narrow = query.filters.are_narrow();
    let paths = match &query.filters.category {
        Some(category) => paths(snapshot.next().await?, category).await?,
        None => None,
    };
    let among = Among::Listing { paths: paths.as_deref() };
    // What is gathered from the beginning is counted by that.
    let is_counted_gathered = is_narrow && query.sort != Sort::Name && !matches!(query.begin, Begin::After(_));
    let is_counted = query.wanted.count == Some(Count::Exact) || is_narrow && query.sort == Sort::Name;
    let mut counted = None;
    if is_counted && !is_counted_gathered {
        counted = Some(count_up_to(snapshot, &query.filters, among, COUNTED_MAX + 1).await?);
    }
    let mut fetched = None;
    if is_narrow && query.sort == Sort::Name && counted.is_some_and(|counted| counted > NAMES_GATHERED_MAX) {
        fetched = walk_names(snapshot, query, paths.as_deref()).await?;
    }
    if fetched.is_none() && is_narrow && counted.is_none_or(|counted| counted <= COUNTED_MAX) {
        let gathered = fetch(snapshot.next().await?, gathered_list(query, among)).await?;
        if is_counted_gathered {
            counted = gathered.gathered;
        }
        fetched = gathered.gathered.is_some_and(|gathered| gathered <= COUNTED_MAX).then_some(gathered);
    }
    let Fetched { epoch, found, .. } = match fetched {
        Some(fetched) => fetched,
        None => fetch(snapshot.next().await?, list(query, among)).await?,
    };
    Ok((epoch, None, found, tally(snapshot, query, among, counted).await?))
}

/// The page in the order of names, if it is met soon.
///
/// Names often begin with the brand, and so all products of one may stand at the end: a brand has an index of its own.
async fn walk_names(
    snapshot: &mut Snapshot<'_>,
    query: &PageQuery,
    paths: Option<&[String]>,
) -> Result<Option<Fetched>, sqlx::Error> {
    let connection = snapshot.next().await?;
    if query.filters.brand.is_some() {
        return fetch(connection, list(query, Among::Listing { paths })).await.map(Some);
    }
    let walked = fetch(connection, walked_list(query, paths)).await?;
    // Fewer may be all that were met.
    Ok((walked.found.len() > (query.limit + SPARE) as usize).then_some(walked))
}

/// The page's ids first, from narrow rows, then the products.
pub(super) fn list(query: &PageQuery, among: Among<'_>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("select epoch.number as epoch, null::bigint");
    sql.push(PAGE).push("(select *, 0::float8 as rank");
    push_matches(&mut sql, &query.filters, among);
    sql.push(") as listing");
    push_window(&mut sql, query);
    sql
}

/// The same, of no more than the first products from where the page begins.
fn walked_list(query: &PageQuery, paths: Option<&[String]>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("select epoch.number as epoch, null::bigint");
    sql.push(PAGE).push("(select *, 0::float8 as rank from (select * from listing");
    if let Begin::After(last) = &query.begin {
        push_after(&mut sql, "where", query.sort, last);
    }
    sql.push(order(query.sort)).push(" limit ").push_bind(NAMES_WALKED_MAX).push(") as listing where true");
    push_filters(&mut sql, &query.filters, paths);
    sql.push(") as listing");
    push_window(&mut sql, query);
    sql
}

/// The same, with all products from where the page begins gathered before they are sorted, and counted.
fn gathered_list(query: &PageQuery, among: Among<'_>) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("with gathered as materialized (select id, 0::float8 as rank");
    sql.push(match query.sort {
        Sort::Relevance | Sort::Id => "",
        Sort::Name => ", name",
        Sort::Price | Sort::PriceDescending => ", price",
        Sort::NewestFirst => ", created_at",
    });
    push_matches(&mut sql, &query.filters, among);
    if let Begin::After(last) = &query.begin {
        push_after(&mut sql, "and", query.sort, last);
    }
    sql.push(" limit ").push_bind(i64::try_from(COUNTED_MAX).unwrap_or(i64::MAX).saturating_add(1));
    sql.push(") select epoch.number as epoch, (select count(*) from gathered)").push(PAGE).push("gathered");
    push_window(&mut sql, query);
    sql
}
