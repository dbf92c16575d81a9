//! `freshet import` against a stand-in that answers lines as the write service does.

use std::convert::Infallible;
use std::io::Write;
use std::process::{Output, Stdio};

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::{serving, text};

const PROBLEM: &str = r##"{"type":"/problems/invalid-field","title":"Invalid field","status":422,"detail":"one field","request_id":"r","errors":[{"pointer":"#/price","detail":"must be a decimal amount"}]}"##;

/// Refuses rows whose price is `bad`, accepts all others, line by line as they come.
async fn products(body: Body) -> impl IntoResponse {
    let lines = body.into_data_stream().scan((Vec::new(), 0_u64), |(rest, number), chunk| {
        rest.extend_from_slice(&chunk.unwrap());
        let mut answers = String::new();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let product: Value = serde_json::from_slice(&line).unwrap();
            *number += 1;
            let sku = &product["sku"];
            let answer = if product["price"] == "bad" {
                format!(r#"{{"line":{number},"status":422,"sku":{sku},"problem":{PROBLEM}}}"#)
            } else {
                format!(r#"{{"line":{number},"status":200,"id":{number},"sku":{sku},"version":1}}"#)
            };
            answers.push_str(&answer);
            answers.push('\n');
        }
        std::future::ready(Some(Ok::<_, Infallible>(Bytes::from(answers))))
    });
    // The last line has no status and belongs to no row.
    let token = futures_util::stream::once(async { Ok(Bytes::from_static(b"{\"consistency_token\":\"t\"}\n")) });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines.chain(token)))
}

async fn import(arguments: &[&str], url: &str, input: Vec<u8>) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_freshet"))
        .args(["import", "-", "--url", url])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let write = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = child.wait_with_output().await.unwrap();
    // A command that fails early does not read its input to the end.
    drop(write.await.unwrap());
    output
}

#[tokio::test]
async fn a_gzip_csv_is_imported_and_its_refused_rows_are_reported_by_their_lines() {
    let url = format!("http://{}", serving(Router::new().route("/products", post(products))).await);
    let mut csv = GzEncoder::new(Vec::new(), Compression::fast());
    csv.write_all(b"sku,description,price\n").unwrap();
    for row in 0..5_000 {
        writeln!(csv, "S{row},\"two\nlines\",{}", if row == 4_321 { "bad" } else { "1.00" }).unwrap();
    }
    csv.write_all(b"SHORT\n").unwrap();
    let csv = csv.finish().unwrap();

    let output = import(&["--format", "csv", "--json"], &url, csv.clone()).await;
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["accepted"], &report["refused"]), (&json!(4_999), &json!(2)));
    let mut refusals = report["refusals"].as_array().unwrap().clone();
    refusals.sort_by_key(|refusal| refusal["line"].as_u64());
    let reason = "Invalid field: one field (price: must be a decimal amount)";
    assert_eq!(refusals[0], json!({"line": 8_644, "sku": "S4321", "status": 422, "reason": reason}));
    assert_eq!(refusals[1]["line"], 10_002);

    let people = import(&["--format", "csv"], &url, csv).await;
    assert!(text(&people.stdout).contains("4,999 accepted, 2 refused"), "{}", text(&people.stdout));
    assert!(text(&people.stdout).contains(reason));
}

#[tokio::test]
async fn ndjson_whose_rows_are_all_accepted_ends_with_success() {
    let url = format!("http://{}", serving(Router::new().route("/products", post(products))).await);
    let lines = b"{\"sku\":\"A\",\"price\":1}\n\n{\"sku\":\"B\",\"price\":2}".to_vec();
    let output = import(&["--format", "ndjson", "--quiet"], &url, lines).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), ""), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_server_that_vanishes_mid_import_is_an_error_that_says_how_many_rows_are_confirmed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut socket = BufReader::new(socket);
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            socket.read_line(&mut line).await.unwrap();
        }
        // Not before the rows that it confirms have come.
        let (mut rows, mut read) = (0, vec![0; 1 << 16]);
        while rows < 2 {
            let length = socket.read(&mut read).await.unwrap();
            rows += read[..length].split(|byte| *byte == b'}').count() - 1;
        }
        let answers = "{\"line\":1,\"status\":200}\n{\"line\":2,\"status\":200}\n";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = format!("{head}{:x}\r\n{answers}\r\n", answers.len());
        socket.get_mut().write_all(answer.as_bytes()).await.unwrap();
        // Reading on keeps the kernel from throwing away, with a reset, the answers just sent.
        while socket.read(&mut read).await.is_ok_and(|length| !read[..length].ends_with(b"0\r\n\r\n")) {}
    });
    let lines = "{\"sku\":\"A\"}\n".repeat(200_000).into_bytes();
    let output = import(&["--format", "ndjson"], &url, lines).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("incomplete: 2 rows are confirmed") && stderr.contains(&url), "{stderr}");
}

#[tokio::test]
async fn a_server_that_refuses_the_whole_import_or_is_away_is_quoted() {
    let problem = [(header::CONTENT_TYPE, "application/problem+json")];
    let refuse = move || async move { (StatusCode::UNPROCESSABLE_ENTITY, problem, PROBLEM) };
    let url = format!("http://{}", serving(Router::new().route("/products", post(refuse))).await);
    let refused = import(&["--format", "ndjson"], &url, b"{}\n".to_vec()).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("Invalid field: one field"), "{}", text(&refused.stderr));

    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let away = import(&["--format", "ndjson"], &format!("http://{free}"), b"{}\n".to_vec()).await;
    assert_eq!(away.status.code(), Some(2));
    assert!(text(&away.stderr).contains("cannot be reached"), "{}", text(&away.stderr));
}

#[tokio::test]
async fn wrong_use_sends_nothing_and_says_what_is_right() {
    for (arguments, input, said) in [
        (&[][..], "", "--format csv or --format ndjson"),
        (&["--format", "csv"][..], "sku,colour\n", "allowed are sku, name"),
        (&["--format", "xml"][..], "", "possible values: csv, ndjson"),
    ] {
        let output = import(arguments, "http://127.0.0.1:9", input.as_bytes().to_vec()).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}
