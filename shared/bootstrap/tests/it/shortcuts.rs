//! Answers from past the router have everything that the others have.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use bootstrap::{AtHand, Background, Head, public_layers};
use bytes::Bytes;

use crate::{Service, start_framed};

/// Answers what begins with `/hot`, and has no luck with one of it.
fn shortcut(head: Head<'_>) -> Option<AtHand> {
    let body = match head.uri.path() {
        "/hot" => "hot".to_owned(),
        "/hot-and-large" => "x".repeat(2_000),
        "/hot-and-broken" => panic!("the secret cause"),
        _ => return None,
    };
    let mut answer = Response::new(Body::from(body));
    answer.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    Some(AtHand { route: "/{hot}", answer, on_answer: || {} })
}

async fn start(flags: &[&str]) -> Service {
    let router = Router::new()
        .route("/cold", get(|| async { "cold" }))
        .route("/hot-and-large", get(|| async { "y".repeat(2_000) }))
        .route("/hot-and-broken", get(|| async { "whole" }));
    start_framed(flags, Background::default(), |settings, health| {
        public_layers(router, settings, health).with_shortcut(shortcut)
    })
    .await
}

#[tokio::test]
async fn what_is_at_hand_is_answered_with_ids_and_metrics_and_the_rest_is_routed() {
    let service = start(&[]).await;
    let id = HeaderMap::from_iter([("x-request-id".parse().unwrap(), HeaderValue::from_static("order-17"))]);
    let hot = service.public.request(Method::GET, "/hot", id, Bytes::new()).await.unwrap();
    assert_eq!((&hot.body[..], hot.header("x-request-id")), (&b"hot"[..], "order-17"));
    assert_eq!(service.public.get("/hot").await.unwrap().header("x-request-id").len(), 36);
    assert_eq!(service.public.get("/cold").await.unwrap().body, "cold");
    assert_eq!(service.public.get("/hot-and-broken").await.unwrap().body, "whole", "the long way knows more");

    let metrics = service.ops.get("/metrics").await.unwrap();
    let line = r#"freshet_http_requests_total{route="/{hot}",method="GET",status="200"} 2"#;
    assert!(String::from_utf8_lossy(&metrics.body).contains(line));
}

#[tokio::test]
async fn a_large_answer_is_compressed_for_whoever_takes_that() {
    let service = start(&[]).await;
    let gzip = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
    let packed = service.public.request(Method::GET, "/hot-and-large", gzip.clone(), Bytes::new()).await.unwrap();
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert_eq!(service.public.get("/hot-and-large").await.unwrap().body, "x".repeat(2_000));
    let small = service.public.request(Method::GET, "/hot", gzip, Bytes::new()).await.unwrap();
    assert_eq!(small.body, "hot");
}

#[tokio::test]
async fn the_limit_counts_both_ways_together() {
    let service = start(&["--requests-per-second-max", "1"]).await;
    let mut refused = 0;
    for _ in 0..10 {
        for path in ["/hot", "/cold"] {
            let answer = service.public.get(path).await.unwrap();
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                refused += 1;
                assert_eq!((answer.header("retry-after"), answer.problem().request_id.len()), ("1", 36));
            }
        }
    }
    assert!(refused > 1, "{refused}");
}
