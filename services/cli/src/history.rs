//! `freshet history`: the prices and stocks that a product had; and how any history is read, page by page.

use std::process::ExitCode;

use client::Client;
use serde::{Deserialize, Serialize};

use crate::args::{History, Target};
use crate::failure::accepted;
use crate::output::{print_line, table};

/// The largest page that the service gives.
const PAGE_LIMIT: u32 = 100;

/// One change of a price or a stock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) product_id: i64,
    pub(crate) version: i64,
    pub(crate) changed_at: String,
    pub(crate) actor: String,
    pub(crate) reason: Option<String>,
    pub(crate) bulk_id: Option<String>,
    pub(crate) price: FromTo<String>,
    pub(crate) currency: FromTo<String>,
    pub(crate) stock: FromTo<i64>,
}

/// There is none before a product was created, and none after it was deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FromTo<T> {
    pub(crate) from: Option<T>,
    pub(crate) to: Option<T>,
}

/// Reads a history from its beginning on.
pub(crate) struct Pages<'a> {
    client: &'a Client,
    path: String,
    page_limit: u32,
    next: Option<Next>,
}

enum Next {
    First,
    At(String),
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Change>,
    next_cursor: Option<String>,
}

impl<'a> Pages<'a> {
    pub(crate) fn of_product(client: &'a Client, id: i64) -> Self {
        Self { client, path: format!("/products/{id}/history"), page_limit: PAGE_LIMIT, next: Some(Next::First) }
    }

    pub(crate) fn of_bulk(client: &'a Client, bulk_id: uuid::Uuid) -> Self {
        Self { client, path: format!("/bulks/{bulk_id}/history"), page_limit: PAGE_LIMIT, next: Some(Next::First) }
    }

    /// Nothing after the last one.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Vec<Change>>> {
        let Some(next) = self.next.take() else { return Ok(None) };
        let Self { path, page_limit, .. } = &*self;
        let path = match next {
            Next::First => format!("{path}?limit={page_limit}"),
            Next::At(cursor) => format!("{path}?limit={page_limit}&cursor={cursor}"),
        };
        let page: Page = accepted(self.client.get(&path).await?)?.json()?;
        self.next = page.next_cursor.map(Next::At);
        Ok(Some(page.items))
    }
}

pub(crate) async fn run(history: &History, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.client()?;
    let wanted = history.limit as usize;
    let mut pages = Pages { page_limit: history.limit.min(PAGE_LIMIT), ..Pages::of_product(&client, history.id) };
    let mut changes = Vec::new();
    while changes.len() < wanted
        && let Some(page) = pages.next().await?
    {
        changes.extend(page);
    }
    changes.truncate(wanted);
    if target.json {
        for change in &changes {
            print_line(serde_json::to_vec(change)?)?;
        }
    } else {
        print_line(in_a_table(&changes))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn in_a_table(changes: &[Change]) -> String {
    let mut table = table();
    table.set_header(["version", "changed_at", "price", "currency", "stock", "actor", "reason", "bulk_id"]);
    for change in changes {
        table.add_row([
            change.version.to_string(),
            change.changed_at.clone(),
            moved(&change.price),
            moved(&change.currency),
            moved(&change.stock),
            change.actor.clone(),
            change.reason.clone().unwrap_or_default(),
            change.bulk_id.clone().unwrap_or_default(),
        ]);
    }
    table.to_string()
}

/// `19.99 → 17.99`; one of them if it stayed.
fn moved<T: ToString + PartialEq>(FromTo { from, to }: &FromTo<T>) -> String {
    let text = |value: &Option<T>| value.as_ref().map_or_else(|| "none".to_owned(), T::to_string);
    if from == to { text(to) } else { format!("{} → {}", text(from), text(to)) }
}
