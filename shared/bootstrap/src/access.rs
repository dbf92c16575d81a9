//! What is said about every request: its id, one log event, and its rate, errors and duration as metrics.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;

use crate::request_id::{self, REQUEST_ID, X_REQUEST_ID};

const REQUESTS: &str = "freshet_http_requests_total";
const DURATION: &str = "freshet_http_request_duration_seconds";

/// Says what the metrics mean.
pub(crate) fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests answered, by route, method and status");
    metrics::describe_histogram!(DURATION, metrics::Unit::Seconds, "Time until the answer begins, by route and method");
}

/// Gives the request its id, and reports it once the answer begins (a streamed body may still follow).
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let id = request_id::choose(request.headers());
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);

    let span = tracing::info_span!("request", request_id = id);
    let mut answer = REQUEST_ID.scope(id.clone(), next.run(request)).instrument(span).await;

    let elapsed = begun.elapsed();
    let status = answer.status().as_u16();
    tracing::info!(
        target: "access",
        request_id = id,
        method,
        route,
        status,
        duration_ms = elapsed.as_secs_f64() * 1_000.0,
        "request"
    );
    let route = route.to_owned();
    metrics::counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    metrics::histogram!(DURATION, "route" => route, "method" => method).record(elapsed);
    answer.headers_mut().insert(X_REQUEST_ID, HeaderValue::from_str(&id).expect("an id is visible ASCII"));
    answer
}

/// Methods are the client's text; labels come from a closed set.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
