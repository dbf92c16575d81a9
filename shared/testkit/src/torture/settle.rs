//! What the primary holds when all is over, and what every node shows of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use catalog::Product;
use client::Client;
use serde::Deserialize;
use sqlx::PgPool;

use super::history::{Key, Mark, Settled};
use super::shop::{mark_in, mark_of};

/// How long after the last fault a node may take to show everything.
const CONVERGED_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);
/// Ids in one question.
const NAMED_MAX: usize = 100;

#[derive(Deserialize)]
struct Items {
    items: Vec<Product>,
}

/// Id, version, stock, price, whether it is deleted.
type Row = (i64, i64, i64, i64, bool);

/// Every row of the primary, tombstones included.
pub(super) async fn primary(url: &str) -> Result<Vec<Settled>> {
    let db = PgPool::connect(url).await?;
    let rows: Vec<Row> =
        sqlx::query_as("select id, version, stock::bigint, price, deleted_at is not null from products order by id")
            .fetch_all(&db)
            .await?;
    db.close().await;
    let settled = |(id, version, stock, price, is_deleted): Row| {
        let mark = if is_deleted { Mark::ABSENT } else { mark_in(stock, price) };
        Ok(Settled { key: u32::try_from(id)?, version: u32::try_from(version)?, mark })
    };
    rows.into_iter().map(settled).collect()
}

/// What a node shows of `rows`, as soon as it is all that they say, or at last.
pub(super) async fn node(node: &Client, rows: &[Settled]) -> Vec<Settled> {
    let deadline = Instant::now() + CONVERGED_WITHIN;
    let mut shown = Vec::new();
    for rows in rows.chunks(NAMED_MAX) {
        loop {
            let seen = ask(node, rows).await;
            let is_same = seen
                .iter()
                .zip(rows)
                .all(|(seen, row)| seen.mark == row.mark && (row.mark == Mark::ABSENT || seen.version == row.version));
            if is_same || Instant::now() > deadline {
                shown.extend(seen);
                break;
            }
            tokio::time::sleep(POLL).await;
        }
    }
    shown
}

/// What a node shows of each row.
async fn ask(node: &Client, rows: &[Settled]) -> Vec<Settled> {
    let ids: Vec<String> = rows.iter().map(|row| row.key.to_string()).collect();
    let answer = node.get(&format!("/products?ids={}", ids.join(","))).await;
    let Some(page) = answer.ok().and_then(|answer| answer.json::<Items>().ok()) else {
        return rows.iter().map(|row| Settled::unanswered(row.key)).collect();
    };
    let items: BTreeMap<i64, Product> = page.items.into_iter().map(|product| (product.id.get(), product)).collect();
    rows.iter().map(|row| settled(row.key, items.get(&i64::from(row.key)))).collect()
}

fn settled(key: Key, product: Option<&Product>) -> Settled {
    let version = product.map_or(0, |product| u32::try_from(product.version.get()).unwrap_or(u32::MAX));
    Settled { key, version, mark: product.map_or(Mark::ABSENT, mark_of) }
}
