//! Request ids, problems, compression and metrics of ordinary answers.

use std::io::Read;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::routing::{get, post};
use bootstrap::{ApiPath, ApiQuery, Problem};
use bytes::Bytes;
use client::Response;
use serde::Deserialize;

use crate::start;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    limit: Option<u32>,
}

fn router() -> Router {
    let page = |ApiQuery(page): ApiQuery<Page>| async move { page.limit.unwrap_or(0).to_string() };
    let large =
        || async { ([(header::ETAG, "\"42\""), (header::CONTENT_TYPE, "application/json")], "x".repeat(2_000)) };
    Router::new()
        .route("/things/{id}", get(|ApiPath(id): ApiPath<u64>| async move { id.to_string() }))
        .route("/things", get(page))
        .route("/bodies", post(|body: String| async move { body }))
        .route("/panics", get(panics))
        .route("/never", get(std::future::pending::<()>))
        .route("/busy", get(|| async { Problem::new(StatusCode::SERVICE_UNAVAILABLE, "later") }))
        .route("/large", get(large))
        .route("/small", get(|| async { ([(header::ETAG, "\"42\"")], "x".repeat(100)) }))
        .route("/lines", get(|| async { ([(header::CONTENT_TYPE, "application/x-ndjson")], "x\n".repeat(2_000)) }))
        .layer(axum::extract::DefaultBodyLimit::max(1_000))
}

async fn panics() -> StatusCode {
    panic!("the secret cause")
}

fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

#[track_caller]
fn assert_problem(answer: &Response, status: u16, detail: &str) {
    assert_eq!(answer.status.as_u16(), status, "{:?}", answer.body);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.header("cache-control"), "no-store");
    let problem: Problem = answer.json().unwrap();
    assert_eq!((problem.status().as_u16(), problem.kind()), (status, "about:blank"));
    assert!(problem.detail().contains(detail), "{}", problem.detail());
    assert_eq!(answer.problem().request_id, answer.header("x-request-id"));
    assert!(!answer.header("x-request-id").is_empty());
}

#[tokio::test]
async fn every_refusal_of_the_frame_is_a_problem_that_says_what_to_change() {
    let service = start(router(), &["--request-timeout-ms", "100"]).await;
    let get = async |path: &'static str| service.public.get(path).await.unwrap();

    assert_problem(&get("/nowhere").await, 404, "/nowhere");
    assert_problem(&get("/things/seven").await, 400, "path: invalid digit");
    assert_problem(&get("/things?limit=ten").await, 400, "limit: invalid digit");
    assert_problem(&get("/things?limt=10").await, 400, "unknown field `limt`, expected `limit`");
    assert_problem(&get("/busy").await, 503, "later");
    assert_problem(&get("/never").await, 504, "100 ms");

    let panicked = get("/panics").await;
    assert_problem(&panicked, 500, "request id");
    assert!(!String::from_utf8_lossy(&panicked.body).contains("secret"));

    let deleted = service.public.request(Method::DELETE, "/things", HeaderMap::new(), Bytes::new()).await.unwrap();
    assert_problem(&deleted, 405, "DELETE");
    assert_eq!(deleted.header("allow"), "GET,HEAD");

    let large = service.public.request(Method::POST, "/bodies", HeaderMap::new(), vec![b'x'; 1_001]).await.unwrap();
    assert_problem(&large, 413, "limit");
}

#[tokio::test]
async fn the_clients_request_id_comes_back() {
    let service = start(router(), &[]).await;
    let header = with(header::HeaderName::from_static("x-request-id"), "order-17");
    let answer = service.public.request(Method::GET, "/nowhere", header, Bytes::new()).await.unwrap();
    assert_eq!((answer.header("x-request-id"), answer.problem().request_id.as_str()), ("order-17", "order-17"));
}

#[tokio::test]
async fn whoever_asks_too_often_gets_429_and_a_time() {
    let service = start(router(), &["--requests-per-second-max", "2"]).await;
    let mut last = service.public.get("/things").await.unwrap();
    assert_eq!(last.status, StatusCode::OK);
    for _ in 0..20 {
        if last.status == StatusCode::OK {
            last = service.public.get("/things").await.unwrap();
        }
    }
    assert_problem(&last, 429, "too often");
    assert_eq!(last.header("retry-after"), "1");
}

#[tokio::test]
async fn a_large_answer_is_compressed_and_its_etag_becomes_weak() {
    let service = start(router(), &[]).await;
    let get = async |path: &'static str, encoding: &'static str| {
        let headers = with(header::ACCEPT_ENCODING, encoding);
        service.public.request(Method::GET, path, headers, Bytes::new()).await.unwrap()
    };

    let gzip = get("/large", "gzip").await;
    assert_eq!((gzip.header("content-encoding"), gzip.header("etag")), ("gzip", "W/\"42\""));
    assert_eq!(gzip.header("vary"), "accept-encoding");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&gzip.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "x".repeat(2_000));

    assert_eq!(get("/large", "zstd").await.header("content-encoding"), "zstd");
    for (path, encoding) in [("/large", "identity"), ("/large", "identity;q=0"), ("/small", "gzip"), ("/lines", "gzip")]
    {
        let plain = get(path, encoding).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (StatusCode::OK, ""), "{path} {encoding}");
        assert!(!plain.header("etag").starts_with("W/"), "{path} {encoding}");
    }
}

#[tokio::test]
async fn metrics_are_labelled_with_the_route_and_never_with_the_path() {
    let service = start(router(), &[]).await;
    for path in ["/things/771", "/nowhere-772"] {
        service.public.get(path).await.unwrap();
    }
    let metrics = service.ops.get("/metrics").await.unwrap();
    let text = String::from_utf8_lossy(&metrics.body);
    for line in [
        r#"freshet_http_requests_total{route="/things/{id}",method="GET",status="200"}"#,
        r#"freshet_http_requests_total{route="unmatched",method="GET",status="404"}"#,
        r#"freshet_http_request_duration_seconds_bucket{route="/things/{id}",method="GET",le="0.0001"}"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("771") && !text.contains("772"));
}

#[tokio::test]
async fn a_streamed_body_may_take_longer_than_the_time_limit() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Bytes>(1);
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(receiver));
    let stream = move || async move {
        let chunks = futures_util::stream::unfold(receiver, async |receiver| {
            let chunk = receiver.lock().await.recv().await?;
            Some((Ok::<_, std::convert::Infallible>(chunk), receiver))
        });
        Body::from_stream(chunks)
    };
    let router = router().route("/stream", post(stream));
    let service = start(router, &["--request-timeout-ms", "100"]).await;

    let answer = service.public.stream_ndjson("/stream", futures_util::stream::empty()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    // This one began later and has used up the whole limit.
    assert_eq!(service.public.get("/never").await.unwrap().status, StatusCode::GATEWAY_TIMEOUT);
    sender.send(Bytes::from_static(b"late")).await.unwrap();
    drop(sender);
    assert_eq!(answer.into_response().await.unwrap().body, "late");
}
