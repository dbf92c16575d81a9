//! The rows of one page of a list.
//!
//! Built at run time and not checked by `query!`: each order with each set of filters is a statement of its own, so that
//! Postgres plans it for the index that serves it. Every value is bound; only words of this file become SQL.

use catalog::{CorruptRow, ProductRow};
use events::Epoch;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row};

use super::read_epoch;
use crate::pages::{Begin, Filters, Found, LastSeen, PageQuery, Sort, SortKey};

/// The page's rows, one more if there is a next page, and the epoch as the same snapshot shows it.
pub(crate) async fn page(connection: &mut PgConnection, query: &PageQuery) -> Result<(Epoch, Vec<Found>), sqlx::Error> {
    // Planned for its values each time: one plan for all of them would compute the search query anew for every row, and
    // there are more shapes than are worth keeping prepared.
    let rows = statement(query).build().persistent(false).fetch_all(connection).await?;
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

/// The page's ids first, from narrow rows, then the products.
fn statement(query: &PageQuery) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(
        "select epoch.number as epoch, page.*
        from epoch
        left join lateral (
            select id, sku, name, description, brand, category, image_url, price, currency, stock, version, created_at,
                updated_at, rank
            from (select id, rank from ",
    );
    match &query.words {
        Some(words) => {
            // The weight of a whole match is below 1, so the product whose sku was typed comes first.
            sql.push("(select *, stock > 0 as in_stock, (ts_rank(search, search_query(");
            sql.push_bind(words.as_str().to_owned());
            sql.push(")) + (sku = ").push_bind(words.as_str().to_owned());
            sql.push(")::int)::real as rank from products where deleted_at is null) as products");
            sql.push(" where search @@ search_query(").push_bind(words.as_str().to_owned()).push(")");
        }
        None => {
            sql.push("(select *, 0::real as rank from listing) as listing where true");
        }
    }
    push_filters(&mut sql, &query.filters);
    if let Begin::After(last) = &query.begin {
        push_after(&mut sql, query.sort, last);
    }
    sql.push(order(query.sort)).push(" limit ").push_bind(i64::from(query.limit) + 1);
    if let Begin::AtPage(page @ 2..) = query.begin {
        sql.push(" offset ").push_bind(i64::from(page - 1) * i64::from(query.limit));
    }
    sql.push(") as listed join products using (id)) as page on true").push(order(query.sort));
    sql
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
