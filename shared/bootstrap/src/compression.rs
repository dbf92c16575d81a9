//! Compression of larger answers, and what it means for their validators.

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate, SizeAbove};

/// Below this the saving is lost in packet and header overhead; a single product stays plain.
const COMPRESSED_BYTES_MIN: u64 = 1024;

type Worthwhile = And<And<SizeAbove, NotForContentType>, NotForContentType>;

/// Gzip and zstd for answers worth it; never for NDJSON, whose lines must leave as they are made.
pub(crate) fn compression_layer() -> CompressionLayer<Worthwhile> {
    CompressionLayer::new().compress_when(
        SizeAbove::new(COMPRESSED_BYTES_MIN)
            .and(NotForContentType::const_new("application/x-ndjson"))
            .and(NotForContentType::IMAGES),
    )
}

/// What the handler answered, before the compression layer had its say.
#[derive(Clone, Copy)]
struct HandlerStatus(StatusCode);

/// Inside the compression layer: remembers the handler's status.
pub(crate) async fn remember_status(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let status = HandlerStatus(answer.status());
    answer.extensions_mut().insert(status);
    answer
}

/// Outside the compression layer: a compressed answer is another representation, so its `ETag` becomes weak;
/// and an `Accept-Encoding` that nothing satisfies gets the plain answer (RFC 9110 allows it), not the layer's 406,
/// which would hide that a write has happened.
pub(crate) async fn settle_encoding(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    if let Some(HandlerStatus(status)) = answer.extensions().get().copied() {
        *answer.status_mut() = status;
    }
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
