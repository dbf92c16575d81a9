//! The client against real sockets: streams both ways at once, and servers that are not there or vanish.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{get, post};
use bytes::Bytes;
use client::{Client, ClientError};
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

async fn serving(router: Router) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    client
}

/// Answers the first request with `answer`, byte for byte, and hangs up.
async fn answering_once(answer: &'static str) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert_ne!(socket.read(&mut [0; 4096]).await.unwrap(), 0);
        socket.write_all(answer.as_bytes()).await.unwrap();
    });
    client
}

fn from_channel(receiver: mpsc::Receiver<Bytes>) -> impl futures_util::Stream<Item = Bytes> + Send + 'static {
    stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|chunk| (chunk, receiver)))
}

#[tokio::test]
async fn result_lines_are_read_while_the_body_is_still_being_written() {
    let echo = |body: Body| async { Body::from_stream(body.into_data_stream()) };
    let client = serving(Router::new().route("/echo", post(echo))).await;
    let (sender, receiver) = mpsc::channel(1);
    let answer = client.stream_ndjson("/echo", from_channel(receiver)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let mut lines = answer.lines();
    for number in 0..100 {
        // The next line is sent only after the answer to this one.
        sender.send(Bytes::from(format!("{number}\n"))).await.unwrap();
        let line = timeout(DEADLINE, lines.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(line, number.to_string());
    }
    sender.send(Bytes::from_static(b"last, without a newline")).await.unwrap();
    drop(sender);
    assert_eq!(lines.next().await.unwrap().unwrap(), "last, without a newline");
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn a_server_that_does_not_read_holds_the_stream_back() {
    let (taken, mut taken_so_far) = tokio::sync::watch::channel(0_u64);
    let deaf = |_body: Body| async { Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>()) };
    let client = serving(Router::new().route("/deaf", post(deaf))).await;
    let chunk = Bytes::from(vec![b'x'; 1 << 16]);
    let endless = stream::repeat_with(move || {
        taken.send_modify(|count| *count += 1);
        chunk.clone()
    });
    let _answer = client.stream_ndjson("/deaf", endless).await.unwrap();
    let quiet = Duration::from_millis(300);
    let settled = async { while timeout(quiet, taken_so_far.changed()).await.is_ok() {} };
    timeout(DEADLINE, settled).await.expect("the stream stops being taken");
    assert!(*taken_so_far.borrow() < 1_000, "only what the sockets hold");
}

#[tokio::test]
async fn a_server_that_vanishes_mid_answer_is_an_error_after_the_lines_that_came() {
    let client = answering_once("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n1\n2\n\r\n").await;
    let mut lines =
        client.stream_ndjson("/x", stream::once(async { Bytes::from_static(b"{}\n") })).await.unwrap().lines();
    assert_eq!(lines.next().await.unwrap().unwrap(), "1");
    assert_eq!(lines.next().await.unwrap().unwrap(), "2");
    let error = lines.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
    assert!(error.to_string().contains(client.base_url()));
    assert!(lines.next().await.is_none());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = Client::new(&format!("http://{free}")).unwrap().get("/x").await.unwrap_err();
    assert_eq!(error.to_string(), format!("http://{free}/x cannot be reached"));
}

#[tokio::test]
async fn an_error_answer_is_an_answer_and_has_a_problem_even_if_the_server_gave_none() {
    let client = serving(Router::new().route("/teapot", get(|| async { StatusCode::IM_A_TEAPOT }))).await;
    let answer = client.get("/teapot").await.unwrap();
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert!(answer.problem().to_string().starts_with("418 I'm a teapot"), "{}", answer.problem());
    assert!(answer.json::<u64>().unwrap_err().to_string().contains("418"));
}

#[tokio::test]
async fn a_key_is_sent_with_every_request_and_shown_to_nobody() {
    let told = |headers: axum::http::HeaderMap| async move { headers["authorization"].to_str().unwrap().to_owned() };
    let client = serving(Router::new().route("/", get(told).post(told))).await.with_key("freshet_key").unwrap();
    assert_eq!(client.get("/").await.unwrap().body, "Bearer freshet_key");
    let streamed = client.stream_ndjson("/", stream::iter([Bytes::from_static(b"{}\n")])).await.unwrap();
    assert_eq!(streamed.into_response().await.unwrap().body, "Bearer freshet_key");

    assert!(!format!("{client:?}").contains("freshet_key"));
    let refused = client.with_key("freshet_key\n").unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("freshet_key"));
}
