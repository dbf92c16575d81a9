//! What surrounds every route of a public port, in one place and one order.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use crate::access::observe;
use crate::compression::{compression_layer, remember_status, settle_encoding};
use crate::health::Health;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::settings::ServeSettings;

/// Longest plain-text reason taken into a problem: the frameworks' own are one sentence.
const REASON_BYTES_MAX: usize = 1024;

/// Surrounds all routes of `router`, and its fallback, with request ids, the access log, metrics, compression,
/// problem answers, a time limit until the answer begins, and an orderly end of connections while draining.
///
/// Call it last: routes added afterwards are not covered.
pub fn public_layers(router: Router, settings: &ServeSettings, health: &Health) -> Router {
    // The last layer is the outermost.
    router
        .layer(from_fn_with_state(settings.request_timeout(), limit_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(as_problem))
        .layer(from_fn(remember_status))
        .layer(compression_layer())
        .layer(from_fn(settle_encoding))
        .layer(from_fn_with_state(health.clone(), close_while_draining))
        .layer(from_fn(observe))
}

/// Bounds the time until the answer begins; a streamed body is not cut.
async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!("no answer within {} ms; a change may or may not have been stored", limit.as_millis());
        Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the cause over")]
fn panicked(cause: Box<dyn Any + Send>) -> Response {
    let message = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(message, "handler_panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed; the request id is in its log").into_response()
}

/// Gives the error answers of routing and of axum's extractors the one form of all errors; their headers stay.
async fn as_problem(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let answer = next.run(request).await;
    let status = answer.status();
    let is_problem = answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value == PROBLEM_JSON);
    if is_problem || !(status.is_client_error() || status.is_server_error()) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let reason = axum::body::to_bytes(body, REASON_BYTES_MAX).await.unwrap_or_default();
    let detail = match (status, std::str::from_utf8(&reason)) {
        (StatusCode::NOT_FOUND, Ok("")) => format!("nothing is served at {path}"),
        (StatusCode::METHOD_NOT_ALLOWED, _) => format!("{method} is not served here; `Allow` lists what is"),
        (status, Ok(reason)) if status.is_client_error() && !reason.is_empty() => reason.to_owned(),
        _ => "the request could not be served".to_owned(),
    };
    let mut problem = Problem::new(status, detail).into_response();
    for (name, value) in &parts.headers {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CACHE_CONTROL].contains(name) {
            problem.headers_mut().append(name, value.clone());
        }
    }
    problem
}

/// Lets keep-alive clients go one answer at a time, so that none meets a connection closing under its next request.
async fn close_while_draining(State(health): State<Health>, request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    if health.is_draining() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}
