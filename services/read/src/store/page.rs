//! The rows of one page of a list.
//!
//! Built at run time and not checked by `query!`: each order with each set of filters is a statement of its own, so that
//! Postgres plans it for the index that serves it. Every value is bound; only words of this file become SQL.

use catalog::{CorruptRow, ProductRow};
use events::Epoch;
use sqlx::postgres::PgRow;
use sqlx::{Connection, FromRow, PgConnection, Postgres, QueryBuilder, Row};

use super::position::position_after;
use super::{read_epoch, terms};
use crate::pages::{Begin, Filters, Found, LastSeen, Listing, PageQuery, SPARE, Sort, SortKey, Stage, Terms, Words};

/// So many that have all the words are enough.
const ENOUGH: usize = 10;
const ENOUGH_ROWS: i64 = 10;

/// The page's rows, as [`Listing`] holds them, and the epoch as the same snapshot shows it.
pub(crate) async fn page(connection: &mut PgConnection, query: &PageQuery) -> Result<(Epoch, Listing), sqlx::Error> {
    let Some(words) = &query.words else {
        let (epoch, found) = fetch(connection, list(query)).await?;
        return Ok((epoch, Listing { stage: None, found, read_by: position_after(connection).await? }));
    };
    // What is found decides what is looked for next, all in one snapshot.
    let mut snapshot = connection.begin_with("begin isolation level repeatable read, read only").await?;
    let page = search_page(&mut snapshot, query, words).await?;
    snapshot.commit().await?;
    let (epoch, stage, found) = page;
    Ok((epoch, Listing { stage: Some(stage), found, read_by: position_after(connection).await? }))
}

/// The products that have all the words; if they are few, those that have some.
async fn search_page(
    snapshot: &mut PgConnection,
    query: &PageQuery,
    words: &Words,
) -> Result<(Epoch, Stage, Vec<Found>), sqlx::Error> {
    let mut terms = terms::terms(snapshot, words).await?;
    let all = terms.all();
    let (mut epoch, mut found) = fetch(snapshot, search(query, words, &terms, &all)).await?;
    let is_weighed = found.len() < ENOUGH && !is_enough(snapshot, query, words, &all).await?;
    let mut is_some = false;
    if is_weighed {
        terms::weigh(snapshot, &mut terms).await?;
        if let Some(some) = terms.some() {
            is_some = true;
            if some != all {
                (epoch, found) = fetch(snapshot, search(query, words, &terms, &some)).await?;
            }
        }
    }
    Ok((epoch, Stage { terms, is_some, is_weighed }, found))
}

/// Whether so many products have all the words that none with only some of them is wanted, or one has them as its sku.
async fn is_enough(
    snapshot: &mut PgConnection,
    query: &PageQuery,
    words: &Words,
    all: &str,
) -> Result<bool, sqlx::Error> {
    let mut sql = QueryBuilder::new("select exists (select from ");
    sql.push(DOCUMENTS).push(" where sku = ").push_bind(words.as_str());
    push_filters(&mut sql, &query.filters);
    sql.push(") or (select count(*) >= ").push_bind(ENOUGH_ROWS);
    sql.push(" from (select from ").push(DOCUMENTS).push(" where search @@ ").push_bind(all).push("::tsquery");
    push_filters(&mut sql, &query.filters);
    sql.push(" limit ").push_bind(ENOUGH_ROWS).push(") as having_all)");
    sql.build_query_scalar().persistent(false).fetch_one(snapshot).await
}

async fn fetch(
    connection: &mut PgConnection,
    mut statement: QueryBuilder<Postgres>,
) -> Result<(Epoch, Vec<Found>), sqlx::Error> {
    // Planned for its values each time, and there are more shapes than are worth keeping prepared.
    let rows = statement.build().persistent(false).fetch_all(connection).await?;
    // The epoch has one row, so the answer has at least one, which holds no product if the page is empty.
    let epoch = read_epoch(rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get("epoch")?)?;
    let found = rows.iter().filter_map(|row| found(row).transpose()).collect::<Result<_, _>>()?;
    Ok((epoch, found))
}

fn found(row: &PgRow) -> Result<Option<Found>, sqlx::Error> {
    if row.try_get::<Option<i64>, _>("id")?.is_none() {
        return Ok(None);
    }
    let product =
        ProductRow::from_row(row)?.try_into().map_err(|fault: CorruptRow| sqlx::Error::Decode(fault.into()))?;
    Ok(Some(Found { product, rank: row.try_get("rank")? }))
}

const BEGIN: &str = "
    select epoch.number as epoch, page.*
    from epoch
    left join lateral (
        select id, sku, name, description, brand, category, image_url, price, currency, stock, version, created_at,
            updated_at, rank
        from (select id, rank from ";

/// What is searched: whole products, which hold their lexemes.
const DOCUMENTS: &str = "(select *, stock > 0 as in_stock from products where deleted_at is null) as products";

/// The page's ids first, from narrow rows, then the products.
fn list(query: &PageQuery) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(BEGIN);
    sql.push("(select *, 0::float8 as rank from listing) as listing where true");
    push_window(&mut sql, query);
    sql
}

/// Of the products that `stage` finds.
fn search(query: &PageQuery, words: &Words, terms: &Terms, stage: &str) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(BEGIN);
    sql.push("(select *, ");
    match query.sort {
        Sort::Relevance => push_rank(&mut sql, words, terms),
        _ => {
            sql.push("0::float8");
        }
    }
    sql.push(" as rank from ").push(DOCUMENTS).push(" where search @@ ");
    sql.push_bind(stage.to_owned()).push("::tsquery) as products where true");
    push_window(&mut sql, query);
    sql
}

fn push_window(sql: &mut QueryBuilder<Postgres>, query: &PageQuery) {
    push_filters(sql, &query.filters);
    if let Begin::After(last) = &query.begin {
        push_after(sql, query.sort, last);
    }
    sql.push(order(query.sort)).push(" limit ").push_bind(i64::from(query.limit + 1 + SPARE));
    if let Begin::AtPage(page @ 2..) = query.begin {
        sql.push(" offset ").push_bind(i64::from(page - 1) * i64::from(query.limit));
    }
    sql.push(") as listed join products using (id)) as page on true").push(order(query.sort));
}

/// How well a product matches: first whether its sku or its brand is what was typed, then how many of the words it has,
/// then how much it speaks of them. That is the sum over the words of `ts_rank`, damped by the length of the document as
/// in BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"), brought below the tenth of a word.
/// Unlike BM25 it does not look at how many products have a word.
fn push_rank(sql: &mut QueryBuilder<Postgres>, words: &Words, terms: &Terms) {
    let typed = words.as_str();
    sql.push("(100 * (lower(sku) = lower(").push_bind(typed.to_owned());
    sql.push("))::int + 50 * coalesce(lower(brand) = lower(").push_bind(typed.to_owned()).push("), false)::int");
    for term in &terms.0 {
        sql.push(" + case when search @@ ").push_bind(term.whole()).push("::tsquery then 1");
        if let Some(beginning) = term.beginning() {
            sql.push(" when search @@ ").push_bind(beginning).push("::tsquery then 0.9");
        }
        if let Some(correction) = term.correction() {
            sql.push(" when search @@ ").push_bind(correction).push("::tsquery then 0.8");
        }
        sql.push(" else 0 end");
    }
    sql.push(" + 0.1 * (1 - exp(-(0");
    for term in &terms.0 {
        // Of the weights D to A: the stems of name and prose count most, and what stands in the name as it was typed little
        // more, since it stands there as its stem too.
        sql.push(" + ts_rank('{0.8, 0.8, 0.6, 0.2}', search, ").push_bind(term.whole()).push("::tsquery)");
    }
    // 0.8 and 0.75 are k and b of BM25; 15.5 is the usual number of lexemes, frozen.
    sql.push(") / (1 + 0.8 * (0.25 + 0.75 * length(search) / 15.5)))))::float8");
}

fn push_filters(sql: &mut QueryBuilder<Postgres>, filters: &Filters) {
    if let Some(brand) = &filters.brand {
        sql.push(" and brand = ").push_bind(brand.as_str().to_owned());
    }
    if let Some(category) = &filters.category {
        let (from, to) = category.below();
        sql.push(" and (category = ").push_bind(category.0.as_str().to_owned());
        sql.push(" or (category >= ").push_bind(from);
        sql.push(" and category < ").push_bind(to).push("))");
    }
    if let Some(in_stock) = filters.in_stock {
        sql.push(if in_stock { " and in_stock" } else { " and not in_stock" });
    }
    if let Some(currency) = filters.currency {
        sql.push(" and currency = ").push_bind(currency.to_string());
    }
    if let Some(min) = filters.min_price {
        sql.push(" and price >= ").push_bind(min.minor());
    }
    if let Some(max) = filters.max_price {
        sql.push(" and price <= ").push_bind(max.minor());
    }
}

/// Only what stands behind the last row seen: a comparison of rows, which an index on the same columns answers.
fn push_after(sql: &mut QueryBuilder<Postgres>, sort: Sort, last: &LastSeen) {
    sql.push(match sort {
        Sort::Relevance => " and (rank, id) < (",
        Sort::Id => " and (id) > (",
        Sort::Name => " and (name, id) > (",
        Sort::Price => " and (price, id) > (",
        Sort::PriceDescending => " and (price, id) < (",
        Sort::NewestFirst => " and (created_at, id) < (",
    });
    let sql = match &last.key {
        SortKey::Id => sql,
        SortKey::Rank(rank) => sql.push_bind(*rank).push(", "),
        SortKey::Name(name) => sql.push_bind(name.as_str().to_owned()).push(", "),
        SortKey::Price(minor) => sql.push_bind(*minor).push(", "),
        SortKey::CreatedAt(at) => sql.push_bind(*at).push(", "),
    };
    sql.push_bind(last.id.get()).push(")");
}

/// Descending orders turn the id around too, so that one index serves both directions.
const fn order(sort: Sort) -> &'static str {
    match sort {
        Sort::Relevance => " order by rank desc, id desc",
        Sort::Id => " order by id",
        Sort::Name => " order by name, id",
        Sort::Price => " order by price, id",
        Sort::PriceDescending => " order by price desc, id desc",
        Sort::NewestFirst => " order by created_at desc, id desc",
    }
}

#[cfg(test)]
mod tests;
