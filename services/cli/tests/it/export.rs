//! `freshet export` and `freshet get` against a stand-in of the read service.

use std::collections::HashMap;
use std::process::{Output, Stdio};

use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::{serving, text};

const LAST: u64 = 2_550;

fn product(id: u64) -> Value {
    json!({"id": id, "sku": format!("S{id}"), "name": "A \"lamp\", small\nand black", "description": null, "brand": "Ä",
        "category": null, "price": "1.00", "currency": "USD", "stock": 4, "image_url": null, "version": 1, "new": true})
}

/// Pages with a cursor that must come back escaped; and one product by its id.
fn router() -> Router {
    let list = |Query(query): Query<HashMap<String, String>>| async move {
        let after: u64 = query.get("cursor").map_or(0, |cursor| cursor.strip_prefix("+/=").unwrap().parse().unwrap());
        let limit: u64 = query["limit"].parse().unwrap();
        let ids = after + 1..=LAST.min(after + limit);
        let last = *ids.end();
        let next = (last < LAST).then(|| format!("+/={last}"));
        Json(json!({"items": ids.map(product).collect::<Vec<_>>(), "next_cursor": next}))
    };
    Router::new().route("/products", get(list)).route("/products/{id}", get(one))
}

async fn one(Path(id): Path<u64>) -> Response {
    if id <= LAST {
        return Json(product(id)).into_response();
    }
    let problem =
        json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": format!("no product {id}")});
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
}

fn freshet(arguments: &[&str], url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freshet"));
    command.args(arguments).env("FRESHET_URL", url).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(arguments: &[&str]) -> Output {
    let url = format!("http://{}", serving(router()).await);
    freshet(arguments, &url).output().await.unwrap()
}

#[tokio::test]
async fn every_page_is_exported_and_reads_back_equal_field_by_field() {
    let output = run(&["export"]).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut reader = csv::Reader::from_reader(&output.stdout[..]);
    let rows: Vec<HashMap<String, String>> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len() as u64, LAST);
    for (at, row) in rows.iter().enumerate() {
        let product = product(at as u64 + 1);
        assert_eq!(row.len(), 9);
        for (column, cell) in row {
            let value = &product[column.as_str()];
            let expected = value.as_str().map_or_else(|| value.to_string(), str::to_owned).replace("null", "");
            assert_eq!(*cell, expected, "{column}");
        }
    }
}

#[tokio::test]
async fn a_file_is_written_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("freshet-export-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("products.ndjson.gz");
    let output = run(&["export", "-o", file.to_str().unwrap()]).await;
    assert!(text(&output.stderr).contains("2,550 products"), "{}", text(&output.stderr));
    let lines = std::io::read_to_string(flate2::read::GzDecoder::new(std::fs::File::open(&file).unwrap())).unwrap();
    assert_eq!(lines.lines().count() as u64, LAST);

    let missing = folder.join("missing.csv");
    let failed = freshet(&["export", "-o", missing.to_str().unwrap()], "http://127.0.0.1:1").output().await.unwrap();
    assert_eq!(failed.status.code(), Some(2));
    let taken = folder.join("taken.csv");
    std::fs::create_dir(&taken).unwrap();
    assert_eq!(run(&["export", "-o", taken.to_str().unwrap()]).await.status.code(), Some(2));
    let mut left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    left.sort();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(left, [file, taken]);
}

#[tokio::test]
async fn a_reader_that_has_seen_enough_is_no_error() {
    let url = format!("http://{}", serving(router()).await);
    for arguments in [&["export"][..], &["export", "--json"]] {
        let mut child = freshet(arguments, &url).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0; 10]).await.unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    }
}

#[tokio::test]
async fn a_product_is_a_table_for_people_json_for_programs_and_a_reason_if_unknown() {
    let table = text(&run(&["get", "7"]).await.stdout);
    assert!(table.contains("S7") && table.contains("price") && table.contains("new"), "{table}");
    let output = run(&["get", "7", "--json"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), product(7));
    let unknown = run(&["get", "9999"]).await;
    assert_eq!(
        (unknown.status.code(), text(&unknown.stderr).as_str()),
        (Some(1), "freshet: Not Found: no product 9999\n")
    );
}
