//! The rows of one page of a list or a search.
//!
//! Built at run time and not checked by `query!`: each order with each set of filters is a statement of its own, so that
//! Postgres plans it for the index that serves it. Every value is bound; only words of this file become SQL.

use catalog::{CorruptRow, ProductRow};
use events::Epoch;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder, Row};

use super::list::{list, list_page};
use super::matches::{Among, push_matches};
use super::position::position_after;
use super::snapshot::Snapshot;
use super::tally::{count_up_to, tally};
use super::{read_epoch, terms};
use crate::pages::{
    Begin, Filters, Found, LastSeen, Listing, PageQuery, Reach, SPARE, Sort, SortKey, Stage, Tally, Terms, Words,
};

/// So many that have all the words are enough.
const ENOUGH: u64 = 10;

/// The page's rows, as [`Listing`] holds them, and the epoch as the same snapshot shows it.
pub(crate) async fn page(connection: &mut PgConnection, query: &PageQuery) -> Result<(Epoch, Listing), sqlx::Error> {
    let is_simple = query.words.is_none() && query.wanted.is_nothing() && !query.filters.are_narrow();
    let (epoch, stage, found, tally) = if is_simple {
        let Fetched { epoch, found, .. } = fetch(connection, list(query, Among::Listing { paths: None })).await?;
        (epoch, None, found, Tally::default())
    } else {
        // What is found decides what is looked for next, all in one snapshot.
        let mut snapshot = Snapshot::begin(connection).await?;
        let page = match &query.words {
            None => list_page(&mut snapshot, query).await?,
            Some(words) => search_page(&mut snapshot, query, words).await?,
        };
        snapshot.end().await?;
        page
    };
    let is_whole = found.len() <= (query.limit + SPARE) as usize;
    Ok((epoch, Listing { stage, found, is_whole, tally, read_by: position_after(connection).await? }))
}

/// What a snapshot shows.
pub(super) type Shown = (Epoch, Option<Stage>, Vec<Found>, Tally);

/// The products that have the words: looked for step by step further, until there are enough.
async fn search_page(snapshot: &mut Snapshot<'_>, query: &PageQuery, words: &Words) -> Result<Shown, sqlx::Error> {
    let mut terms = terms::terms(snapshot.next().await?, words).await?;
    // What is being typed need not be whole.
    let mut reach = if query.is_typing { Reach::All } else { terms.nearest() };
    loop {
        let asked = terms.query(reach);
        let Fetched { epoch, found, .. } = fetch(snapshot.next().await?, search(query, words, &terms, reach)).await?;
        let is_last = reach == Reach::Some || terms.mean_nothing();
        if is_last || is_enough(snapshot, query, words, &asked, &found).await? {
            let tally = tally(snapshot, query, Among::Found(&asked), None).await?;
            return Ok((epoch, Some(Stage { terms, reach }), found, tally));
        }
        reach = match reach {
            Reach::Verbatim => Reach::Whole,
            Reach::Whole if terms.query(Reach::All) != asked => Reach::All,
            _ => {
                terms::weigh(snapshot, &mut terms).await?;
                Reach::Some
            }
        };
    }
}

/// Whether what was found will do: it is something, and so many products have the words, whether or not the filters let them
/// through, that none with fewer of them is wanted; or one has them as its sku.
async fn is_enough(
    snapshot: &mut Snapshot<'_>,
    query: &PageQuery,
    words: &Words,
    stage: &str,
    found: &[Found],
) -> Result<bool, sqlx::Error> {
    if found.len() as u64 >= ENOUGH {
        return Ok(true);
    }
    // A page may be empty because it begins behind the last product.
    if found.is_empty()
        && (query.begin == Begin::AtPage(1)
            || count_up_to(snapshot, &query.filters, Among::Found(stage), 1).await? == 0)
    {
        return Ok(false);
    }
    if count_up_to(snapshot, &Filters::default(), Among::Found(stage), ENOUGH).await? >= ENOUGH {
        return Ok(true);
    }
    sqlx::query_scalar!(
        r#"select exists (select from products where deleted_at is null and sku = $1) as "exists!""#,
        words.as_str()
    )
    .fetch_one(snapshot.next().await?)
    .await
}

/// What a statement brings.
pub(super) struct Fetched {
    pub(super) epoch: Epoch,
    pub(super) found: Vec<Found>,
    /// How many products were gathered, up to one more than [`COUNTED_MAX`](crate::pages::COUNTED_MAX), if they were.
    pub(super) gathered: Option<u64>,
}

pub(super) async fn fetch(
    connection: &mut PgConnection,
    mut statement: QueryBuilder<Postgres>,
) -> Result<Fetched, sqlx::Error> {
    // Planned for its values each time, and there are more shapes than are worth keeping prepared.
    let rows = statement.build().persistent(false).fetch_all(connection).await?;
    // The epoch has one row, so the answer has at least one, which holds no product if the page is empty.
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let epoch = read_epoch(first.try_get("epoch")?)?;
    let gathered = first.try_get::<Option<i64>, _>("gathered")?.map(i64::unsigned_abs);
    let found = rows.iter().filter_map(|row| found(row).transpose()).collect::<Result<_, _>>()?;
    Ok(Fetched { epoch, found, gathered })
}

fn found(row: &PgRow) -> Result<Option<Found>, sqlx::Error> {
    if row.try_get::<Option<i64>, _>("id")?.is_none() {
        return Ok(None);
    }
    let product =
        ProductRow::from_row(row)?.try_into().map_err(|fault: CorruptRow| sqlx::Error::Decode(fault.into()))?;
    Ok(Some(Found { product, rank: row.try_get("rank")? }))
}

/// The page's products by their ids, from what follows.
pub(super) const PAGE: &str = " as gathered, page.*
    from epoch
    left join lateral (
        select id, sku, name, description, brand, category, image_url, price, currency, stock, version, created_at,
            updated_at, rank
        from (select id, rank from ";

/// Of the products that a search of this reach finds.
fn search(query: &PageQuery, words: &Words, terms: &Terms, reach: Reach) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new("select epoch.number as epoch, null::bigint");
    sql.push(PAGE).push("(select *, ");
    match query.sort {
        Sort::Relevance => push_rank(&mut sql, words, terms, reach),
        _ => {
            sql.push("0::float8");
        }
    }
    sql.push(" as rank");
    push_matches(&mut sql, &query.filters, Among::Found(&terms.query(reach)));
    sql.push(") as products");
    push_window(&mut sql, query);
    sql
}

pub(super) fn push_window(sql: &mut QueryBuilder<Postgres>, query: &PageQuery) {
    if let Begin::After(last) = &query.begin {
        push_after(sql, "where", query.sort, last);
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
///
/// What has all of the words whole by the text query itself is not asked for them again, and no sku has a space.
fn push_rank(sql: &mut QueryBuilder<Postgres>, words: &Words, terms: &Terms, reach: Reach) {
    let typed = words.as_str();
    // In tenths, since integers are exact and add up faster than numbers with a decimal point.
    sql.push("((0");
    if !typed.contains(' ') {
        sql.push(" + 1000 * (lower(sku) = lower(").push_bind(typed.to_owned()).push("))::int");
    }
    sql.push(" + 500 * coalesce(lower(brand) = lower(").push_bind(typed.to_owned()).push("), false)::int");
    for term in &terms.0 {
        let is_whole = match reach {
            Reach::Verbatim => true,
            Reach::Whole => !term.stem.is_empty(),
            Reach::All | Reach::Some => false,
        };
        if is_whole {
            sql.push(" + 10");
            continue;
        }
        sql.push(" + case when search @@ ").push_bind(term.whole()).push("::tsquery then 10");
        if let Some(beginning) = term.beginning() {
            sql.push(" when search @@ ").push_bind(beginning).push("::tsquery then 9");
        }
        if let Some(correction) = term.correction() {
            sql.push(" when search @@ ").push_bind(correction).push("::tsquery then 8");
        }
        sql.push(" else 0 end");
    }
    sql.push(")::float8 / 10");
    sql.push(" + 0.1::float8 * (1 - exp(-(0::float8");
    for term in &terms.0 {
        // Of the weights D to A: the stems of name and prose count most, and what stands in the name as it was typed little
        // more, since it stands there as its stem too.
        sql.push(" + ts_rank('{0.8, 0.8, 0.6, 0.2}', search, ").push_bind(term.whole()).push("::tsquery)");
    }
    // 0.8 and 0.75 are k and b of BM25; 15.5 is the usual number of lexemes, frozen.
    // Floating, since numbers of any length take longer than all the rest.
    sql.push(
        ") / (1::float8 + 0.8::float8 * (0.25::float8 + 0.75::float8 * length(search) / 15.5::float8)))))::float8",
    );
}

/// Only what stands behind the last row seen: a comparison of rows, which an index on the same columns answers.
pub(super) fn push_after(sql: &mut QueryBuilder<Postgres>, and: &str, sort: Sort, last: &LastSeen) {
    sql.push(" ").push(and).push(match sort {
        Sort::Relevance => " (rank, id) < (",
        Sort::Id => " (id) > (",
        Sort::Name => " (name, id) > (",
        Sort::Price => " (price, id) > (",
        Sort::PriceDescending => " (price, id) < (",
        Sort::NewestFirst => " (created_at, id) < (",
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
pub(super) const fn order(sort: Sort) -> &'static str {
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
