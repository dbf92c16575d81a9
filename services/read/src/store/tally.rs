//! What a list has beyond one page of it: how many products, and how many of each value.

use std::collections::BTreeMap;

use catalog::{ProductId, Version};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder, Row};

use super::matches::{Among, push_matches};
use super::snapshot::Snapshot;
use crate::pages::{
    COUNTED_MAX, COUNTED_MAX_ESTIMATED, Count, Counts, Filters, PageQuery, Tally, Total, VALUES_KEPT, bands,
};

/// What is wanted of the whole list. `counted` is how many there are, if that is known
/// already, up to one more than [`COUNTED_MAX`].
pub(super) async fn tally(
    snapshot: &mut Snapshot<'_>,
    query: &PageQuery,
    among: Among<'_>,
    counted: Option<u64>,
) -> Result<Tally, sqlx::Error> {
    if query.wanted.is_nothing() {
        return Ok(Tally::default());
    }
    let mut tally = facets(snapshot, query, among).await?;
    if let Some(count) = query.wanted.count {
        let max = match count {
            Count::Exact => COUNTED_MAX,
            Count::Estimated if counted.is_some() => COUNTED_MAX,
            Count::Estimated => COUNTED_MAX_ESTIMATED,
        };
        let counted = match counted {
            Some(counted) => counted,
            None => count_up_to(snapshot, &query.filters, among, max + 1).await?,
        };
        tally.total = Some(if counted <= max {
            Total { count: counted, is_exact: true }
        } else {
            Total { count: counted.max(estimate(snapshot, query, among).await?), is_exact: false }
        });
    }
    // Last, since a replica may have to wait for whoever reads there.
    (tally.unheard, tally.is_overrun) = unheard(snapshot).await?;
    Ok(tally)
}

/// The changes that this snapshot shows and that the stream may not hold yet, but no more than [`UNHEARD_MAX`]; and whether
/// there are more.
///
/// A replica may show what the primary does not show yet, because it waits for another replica: such a change is heard after
/// any heartbeat, and its product need not be on the page to say by its version that it was there.
async fn unheard(snapshot: &mut Snapshot<'_>) -> Result<(Vec<(ProductId, Version)>, bool), sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select product_id, (data::json ->> 'version')::bigint as "version!"
        from outbox
        where id > (select last_value from outbox_id_seq) - $2
        order by id
        limit $1
        "#,
        UNHEARD_MAX + 1,
        UNHEARD_REACH,
    )
    .fetch_all(snapshot.next().await?)
    .await?;
    let is_overrun = rows.len() as u64 > UNHEARD_MAX.unsigned_abs();
    let change = |product_id: i64, version: i64| Some((product_id.try_into().ok()?, version.try_into().ok()?));
    Ok((rows.into_iter().filter_map(|row| change(row.product_id, row.version)).collect(), is_overrun))
}

/// More changes than wait for the stream unless that is away.
const UNHEARD_MAX: i64 = 1_000;
/// Rows back from the last id that was given out: those before were taken long ago, and a scan from the first one would pass
/// over all of them until they are vacuumed.
const UNHEARD_REACH: i64 = 20_000;

/// How many products there are, but no more than `max`.
pub(super) async fn count_up_to(
    snapshot: &mut Snapshot<'_>,
    filters: &Filters,
    among: Among<'_>,
    max: u64,
) -> Result<u64, sqlx::Error> {
    // A search is planned as if all were wanted, and then ended early: few would have Postgres read the table from its beginning,
    // in the hope to meet them soon.
    let is_search = matches!(among, Among::Found(_));
    let (begin, end) = match among {
        Among::Listing { .. } => ("select count(*) from (select", ") as matching"),
        Among::Found(_) => ("with matching as materialized (select", ") select count(*) from (select from matching"),
    };
    let mut sql = QueryBuilder::new(begin);
    push_matches(&mut sql, filters, among);
    if is_search {
        sql.push(end);
    }
    sql.push(" limit ").push_bind(i64::try_from(max).unwrap_or(i64::MAX));
    sql.push(if is_search { ") as first" } else { end });
    let count: i64 = sql.build_query_scalar().persistent(false).fetch_one(snapshot.next().await?).await?;
    Ok(count.unsigned_abs())
}

/// How many products Postgres expects by its statistics.
async fn estimate(snapshot: &mut Snapshot<'_>, query: &PageQuery, among: Among<'_>) -> Result<u64, sqlx::Error> {
    let mut sql = QueryBuilder::new("explain (format json) select");
    push_matches(&mut sql, &query.filters, among);
    let plan: Value = sql.build_query_scalar().persistent(false).fetch_one(snapshot.next().await?).await?;
    let rows = plan.pointer("/0/Plan/Plan Rows").and_then(Value::as_u64);
    rows.ok_or_else(|| sqlx::Error::Decode(format!("no number of rows in the plan {plan}").into()))
}

/// The facets that are wanted, from one look at the products.
async fn facets(snapshot: &mut Snapshot<'_>, query: &PageQuery, among: Among<'_>) -> Result<Tally, sqlx::Error> {
    let wanted = query.wanted;
    if !wanted.has_facets() {
        return Ok(Tally::default());
    }
    let mut sql = QueryBuilder::new(
        "select facet, value, products
        from (
            select *, row_number() over (partition by facet order by products desc, value) as place
            from (
                select
                    case grouping(brand, step, band) when 3 then 'brand' when 5 then 'category' else 'price' end as facet,
                    coalesce(brand, step, band::text) as value,
                    count(*) as products
                from (select ",
    );
    // What is not wanted is null, and so in no group that counts.
    sql.push(if wanted.brand { "brand" } else { "null::text as brand" }).push(", ");
    if wanted.category {
        push_step(&mut sql, query);
    } else {
        sql.push("null::text");
    }
    sql.push(" as step, ");
    match wanted.price {
        Some(currency) => {
            sql.push("case when currency = ").push_bind(currency.to_string());
            sql.push(" then width_bucket(price, ").push_bind(bands(currency)).push("::bigint[]) end");
        }
        None => {
            sql.push("null::int");
        }
    }
    sql.push(" as band");
    push_matches(&mut sql, &query.filters, among);
    sql.push(
        ") as matching
                group by grouping sets ((brand), (step), (band))
            ) as counted
            where value is not null
        ) as placed
        where place <= ",
    );
    sql.push_bind(i64::try_from(VALUES_KEPT + 1).unwrap_or(i64::MAX));
    let rows = sql.build().persistent(false).fetch_all(snapshot.next().await?).await?;
    let mut of: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for row in &rows {
        let products: i64 = row.try_get("products")?;
        of.entry(row.try_get("facet")?).or_default().insert(row.try_get("value")?, products.unsigned_abs());
    }
    let mut counts = |facet| {
        let of = of.remove(facet).unwrap_or_default();
        Counts { is_whole: of.len() <= VALUES_KEPT, of }
    };
    let price = wanted.price.map(|currency| {
        let (bounds, counts) = (bands(currency), counts("price"));
        // Bands are counted from 1.
        let bound = |band: &String| Some(*bounds.get(band.parse::<usize>().ok()? - 1)?);
        let of = counts.of.iter().filter_map(|(band, products)| Some((bound(band)?, *products))).collect();
        Counts { of, is_whole: counts.is_whole }
    });
    Ok(Tally {
        brand: wanted.brand.then(|| counts("brand")),
        category: wanted.category.then(|| counts("category")),
        price,
        ..Tally::default()
    })
}

/// The part of a product's category that reaches one step below the filter's.
fn push_step(sql: &mut QueryBuilder<Postgres>, query: &PageQuery) {
    match &query.filters.category {
        None => {
            sql.push("split_part(category, '/', 1)");
        }
        Some(category) => {
            let path = format!("{}/", category.0);
            let begin = i32::try_from(path.chars().count()).unwrap_or(i32::MAX).saturating_add(1);
            sql.push("case when starts_with(category, ").push_bind(path.clone()).push(") then ").push_bind(path);
            sql.push(" || split_part(substr(category, ").push_bind(begin).push("), '/', 1) end");
        }
    }
}
