//! Compression of larger answers, and what it means for their validators.

use std::convert::Infallible;
use std::future::ready;

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};

/// Below this the saving is lost in packet and header overhead; a single product stays plain.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// Answers worth it; never NDJSON, whose lines must leave as they are made.
fn worthwhile() -> And<And<SizeAbove, NotForContentType>, NotForContentType> {
    SizeAbove::new(COMPRESSED_BYTES_MIN)
        .and(NotForContentType::const_new("application/x-ndjson"))
        .and(NotForContentType::IMAGES)
}

/// Whether an answer is to be compressed for whoever accepts that.
pub(crate) fn is_worth_compressing(answer: &Response) -> bool {
    worthwhile().should_compress(answer)
}

/// The answer by gzip or zstd, if `accept_encoding` takes one of them.
///
/// A compressed answer is another representation, so its `ETag` becomes weak. An `Accept-Encoding` that nothing satisfies
/// gets the plain answer (RFC 9110 allows it), not the layer's 406, which would hide that a write has happened.
pub(crate) async fn compressed(answer: Response, accept_encoding: Option<HeaderValue>) -> Response {
    let status = answer.status();
    let mut request = Request::new(Body::empty());
    request.headers_mut().extend(accept_encoding.map(|value| (header::ACCEPT_ENCODING, value)));
    let mut answer = Some(answer);
    let answered = service_fn(move |_| ready(Ok::<_, Infallible>(answer.take().expect("it is asked once"))));
    let layer = CompressionLayer::new().compress_when(worthwhile());
    let Ok(answer) = layer.layer(answered).oneshot(request).await;
    let mut answer = answer.map(Body::new);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if headers.contains_key(header::CONTENT_ENCODING)
        && let Some(weak) = headers.get(header::ETAG).and_then(weakened)
    {
        headers.insert(header::ETAG, weak);
    }
    answer
}

fn weakened(etag: &HeaderValue) -> Option<HeaderValue> {
    if etag.as_bytes().starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat()).ok()
}
