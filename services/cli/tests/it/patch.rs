//! `freshet patch` against a stand-in that answers as the write service does.

use std::fmt::Write;
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::patch;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::{serving, text};

/// What was sent, one after the other.
type Sent = Arc<Mutex<Vec<String>>>;

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// Refuses a row whose price is `bad`, fails one whose price is `late`, and stops without an answer at `stop`.
async fn many(
    State(sent): State<Sent>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    let query = query.unwrap_or_default();
    sent.lock().unwrap().push(format!("{} {query}", header(&headers, "idempotency-key")));
    let mut answer = String::new();
    for (line, row) in (1..).zip(body.lines()) {
        sent.lock().unwrap().push(row.to_owned());
        let row: Value = serde_json::from_str(row).unwrap();
        let refused = |status: u16, title: &str| json!({"line": line, "status": status, "problem": {"title": title, "status": status}});
        let result = match row["price"].as_str() {
            Some("bad") => refused(422, "Invalid field"),
            Some("late") => refused(503, "Service Unavailable"),
            Some("stop") => return ([(header::CONTENT_TYPE, "application/x-ndjson")], answer),
            _ => json!({"line": line, "status": 200, "id": 1, "sku": "A", "version": 2}),
        };
        writeln!(answer, "{result}").unwrap();
    }
    let end = if query.is_empty() { json!({"bulk_id": "b-1"}) } else { json!({"dry_run": true}) };
    writeln!(answer, "{end}").unwrap();
    ([(header::CONTENT_TYPE, "application/x-ndjson")], answer)
}

async fn one(State(sent): State<Sent>, Path(id): Path<u64>, headers: HeaderMap, body: String) -> impl IntoResponse {
    let [key, versions] = ["idempotency-key", "if-match"].map(|name| header(&headers, name));
    sent.lock().unwrap().push(format!("{id} {key} {versions} {body}"));
    if versions == "\"1\"" {
        let problem = json!({"title": "Stale version", "status": 412, "detail": "the product is at version 2"});
        return (StatusCode::PRECONDITION_FAILED, problem.to_string());
    }
    (StatusCode::OK, json!({"id": id, "version": 2}).to_string())
}

async fn freshet(arguments: &[&str], input: &str) -> (Output, Vec<String>) {
    let sent = Sent::default();
    let router = Router::new().route("/products", patch(many)).route("/products/{id}", patch(one));
    let url = format!("http://{}", serving(router.with_state(sent.clone())).await);
    let mut child = Command::new(env!("CARGO_BIN_EXE_freshet"))
        .arg("patch")
        .args(arguments)
        .env("FRESHET_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that fails early does not read its input to the end.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let sent = sent.lock().unwrap().clone();
    (output, sent)
}

#[tokio::test]
async fn a_files_rows_are_sent_under_a_key_and_the_refused_ones_reported_by_their_lines() {
    let csv = "sku,price,stock_delta\nA,1.50,\nB,bad,\nC,,-1\n";
    let (output, sent) = freshet(&["--file", "-", "--format", "csv", "--reason", "sale"], csv).await;
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
    assert!(said.contains("2 accepted, 1 refused") && said.contains("bulk id b-1"), "{said}");
    assert!(
        said.lines().any(|row| row.contains('3') && row.contains("422") && row.contains("Invalid field")),
        "{said}"
    );
    assert_eq!(sent[0].trim_end().len(), 36, "a random key: {}", sent[0]);
    let rows = [
        r#"{"price":"1.50","reason":"sale","sku":"A"}"#,
        r#"{"price":"bad","reason":"sale","sku":"B"}"#,
        r#"{"reason":"sale","sku":"C","stock_delta":-1}"#,
    ];
    assert_eq!(sent[1..], rows);

    let arguments = ["--file", "-", "--format", "ndjson", "--idempotency-key", "mine", "--json"];
    let (output, sent) = freshet(&arguments, "{\"id\":1,\"price\":19.90}\n").await;
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["accepted"], &report["bulk_id"]), (Some(0), &json!(1), &json!("b-1")));
    assert_eq!(sent, ["mine ", r#"{"id":1,"price":19.90}"#]);
}

#[tokio::test]
async fn what_was_not_done_can_be_done_by_the_key_that_is_said() {
    for (row, code, words) in
        [("stop", 2, "incomplete: 1 rows are confirmed"), ("late", 1, "the server could not do some rows")]
    {
        let (output, sent) = freshet(&["--file", "-", "--format", "csv"], &format!("sku,price\nA,1\nB,{row}\n")).await;
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let key = sent[0].trim_end();
        assert!(said.contains(words) && said.contains(&format!("--idempotency-key {key}")), "{said}");
    }
}

#[tokio::test]
async fn a_dry_run_asks_for_one_and_says_so() {
    let (output, sent) = freshet(&["--file", "-", "--format", "csv", "--dry-run"], "id,price\n1,1\n2,bad\n").await;
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    assert!(said.contains("dry run, nothing was changed: 1 accepted, 1 refused"), "{said}");
    assert!(!said.contains("bulk id") && sent[0].ends_with(" dry_run=true"), "{said} {sent:?}");
}

#[tokio::test]
async fn one_product_is_patched_under_its_version_and_key() {
    let arguments = ["7", "--stock-delta", "-1", "--reason", "sold", "--if-match", "4", "--idempotency-key", "order"];
    let (output, sent) = freshet(&arguments, "").await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(sent, [r#"7 order "4" {"reason":"sold","stock_delta":-1}"#]);
    let (stale, _) = freshet(&["7", "--stock", "1", "--if-match", "1"], "").await;
    assert_eq!(stale.status.code(), Some(1));
    assert!(text(&stale.stderr).contains("Stale version: the product is at version 2"), "{}", text(&stale.stderr));
}
