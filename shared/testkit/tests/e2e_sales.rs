//! A day of sales, each a relative change of a stock, at two write instances, one of which is killed in the middle.
//!
//! `FRESHET_SALES` may name a `.csv.gz` file of invoice lines with the columns `sku` and `quantity`, a negative one for what
//! comes back; without it the day is made up.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use catalog::{Product, ProductId, Sku};
use client::Client;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use testkit::{Options, holds, stack};

/// More than a day takes out.
const STOCK: i64 = 1_000_000;
/// Tills that ring up one sale after the other.
const TILLS: usize = 32;
/// Of one sale, by turns at each instance; one that is down refuses at once.
const ATTEMPTS_MAX: usize = 1_000;
/// Sales of a day that is made up.
const SALES: u64 = 3_000;

#[derive(Clone, Deserialize)]
struct Sale {
    sku: String,
    quantity: i64,
}

/// The lines of the file, or some with few products that sell all the time and many that hardly do.
fn sales() -> Vec<Sale> {
    let Some(file) = std::env::var_os("FRESHET_SALES") else {
        let made_up = |number: u64| {
            let hash = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
            let product = (hash % 1_000) * (hash % 1_000) * (hash % 1_000) / 5_000_000;
            Sale { sku: format!("SOLD-{product}"), quantity: i64::try_from(number % 12).unwrap() - 1 }
        };
        return (0..SALES).map(made_up).collect();
    };
    let mut lines = csv::Reader::from_reader(MultiGzDecoder::new(File::open(file).unwrap()));
    let lines = lines.deserialize().map(|line| line.unwrap());
    // Charges and postage are no products.
    lines.filter(|sale: &Sale| sale.sku.parse::<Sku>().is_ok()).collect()
}

/// Rings up sales until there are no more, each until it is answered: by whichever instance is there, once.
async fn ring_up(tills: Vec<Client>, sales: Arc<Vec<(ProductId, i64)>>, next: Arc<AtomicUsize>) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let Some((id, quantity)) = sales.get(number) else { return };
        let key = HeaderValue::try_from(format!("sale-{number}")).unwrap();
        let headers = HeaderMap::from_iter([
            (header::CONTENT_TYPE, HeaderValue::from_static("application/merge-patch+json")),
            (HeaderName::from_static("idempotency-key"), key),
        ]);
        let body = format!(r#"{{"stock_delta":{},"reason":"sale {number}"}}"#, -quantity);
        let mut is_done = false;
        for attempt in 0..ATTEMPTS_MAX {
            let till = &tills[(number + attempt) % tills.len()];
            let answer = till.request(Method::PATCH, &format!("/products/{id}"), headers.clone(), body.clone()).await;
            if let Ok(status) = answer.map(|answer| answer.status) {
                assert!(
                    status == StatusCode::OK || status.is_server_error() || status == StatusCode::CONFLICT,
                    "{status}"
                );
                if status == StatusCode::OK {
                    is_done = true;
                    break;
                }
            }
        }
        assert!(is_done, "sale {number} was never answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_sales_at_two_instances_ends_with_exactly_the_sum_though_one_is_killed() {
    let mut shop = tokio::task::block_in_place(|| stack(Options { write_nodes: 2, ..Options::default() }, &[]));
    let sales = sales();
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    for sale in &sales {
        *sold.entry(&sale.sku).or_default() += sale.quantity;
    }
    let lines: String = sold
        .keys()
        .flat_map(|sku| [format!(r#"{{"sku":"{sku}","name":"Sold","price":"1","stock":{STOCK}}}"#), "\n".to_owned()])
        .collect();
    let ndjson = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))]);
    let created = shop.gateway().request(Method::POST, "/products", ndjson, lines).await.unwrap();
    assert_eq!(created.status, StatusCode::OK);
    let db = sqlx::PgPool::connect(&shop.stack.urls().database).await.unwrap();
    let rows: Vec<(String, i64)> = sqlx::query_as("select sku, id from products").fetch_all(&db).await.unwrap();
    let ids: BTreeMap<String, ProductId> = rows.into_iter().map(|(sku, id)| (sku, id.try_into().unwrap())).collect();
    let lines: Arc<Vec<_>> = Arc::new(sales.iter().map(|sale| (ids[&sale.sku], sale.quantity)).collect());

    let urls = shop.stack.urls().write;
    let tills: Vec<Client> = urls.iter().map(|url| shop.client(url)).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let at_work: Vec<_> =
        (0..TILLS).map(|_| tokio::spawn(ring_up(tills.clone(), Arc::clone(&lines), Arc::clone(&next)))).collect();
    holds(async || next.load(Ordering::Relaxed) > lines.len() / 2).await;
    shop.kill_and_start_again("write-1");
    for till in at_work {
        till.await.unwrap();
    }

    let stocks: Vec<(String, i32)> = sqlx::query_as("select sku, stock from products").fetch_all(&db).await.unwrap();
    for (sku, stock) in stocks {
        assert_eq!(i64::from(stock), STOCK - sold[sku.as_str()], "{sku}");
    }
    let changes: i64 =
        sqlx::query_scalar("select sum(stock_from - stock_to)::bigint from product_history where reason is not null")
            .fetch_one(&db)
            .await
            .unwrap();
    assert_eq!(changes, sold.values().sum::<i64>(), "the history adds up");
    for node in shop.read_nodes() {
        for (sku, id) in &ids {
            holds(async || {
                let shown: Product = node.get(&format!("/products/{id}")).await.unwrap().json().unwrap();
                i64::from(shown.stock) == STOCK - sold[sku.as_str()]
            })
            .await;
        }
    }
}
