//! What surrounds every route of a public port, in one place and one order.
//!
//! One function and no stack of layers: every layer of axum clones the service within and puts its future on the heap,
//! which together would cost a hot read more than all its own work.

use std::any::Any;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tower::layer::layer_fn;
use tower::{Service, service_fn};

use crate::access::{Access, Route};
use crate::compression::{compressed, is_worth_compressing};
use crate::framed::Framed;
use crate::health::Health;
use crate::limit::Limiter;
use crate::problem::{PROBLEM_JSON, Problem};
use crate::request_id::{RequestId, X_REQUEST_ID};
use crate::settings::ServeSettings;

/// Longest plain-text reason taken into a problem: the frameworks' own are one sentence.
const REASON_BYTES_MAX: usize = 1024;

/// Surrounds all routes of `router`, and its fallback, with request ids, the access log, metrics, a limit of requests,
/// compression, problem answers, a time limit until the answer begins, and an orderly end of connections while draining.
///
/// Call it last: routes added afterwards are not covered.
pub fn public_layers(router: Router, settings: &ServeSettings, health: &Health) -> Framed {
    let limiter = settings.requests_per_second_max().map(Limiter::new);
    let frame = Arc::new(Frame { time_limit: settings.request_timeout(), limiter, health: health.clone() });
    let around = Arc::clone(&frame);
    let router = router.layer(layer_fn(move |mut route: axum::routing::Route| {
        let frame = Arc::clone(&around);
        service_fn(move |request: Request| {
            let begun = Instant::now();
            let (id, asked) = (RequestId::choose(request.headers(), begun), Asked::by(&request, begun));
            // Nothing runs before it is waited for.
            let answering = route.call(request);
            id.scope(answer(Arc::clone(&frame), asked, answering))
        })
    }));
    Framed::new(router, frame)
}

/// What surrounds the routes, the same for all.
pub(crate) struct Frame {
    time_limit: Duration,
    limiter: Option<Limiter>,
    health: Health,
}

/// What the frame needs of a request once its route has taken it.
struct Asked {
    access: Access,
    method: Method,
    uri: Uri,
    accept_encoding: Option<HeaderValue>,
    /// Known only if there is a limit.
    peer: Option<SocketAddr>,
}

impl Asked {
    fn by(request: &Request, begun: Instant) -> Self {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        Self {
            access: Access::begin(begun, request.method(), Route::of(request)),
            method: request.method().clone(),
            uri: request.uri().clone(),
            accept_encoding: request.headers().get(header::ACCEPT_ENCODING).cloned(),
            peer: peer.map(|ConnectInfo(peer)| *peer),
        }
    }
}

async fn answer(
    frame: Arc<Frame>,
    asked: Asked,
    answering: impl Future<Output = Result<Response, Infallible>>,
) -> Result<Response, Infallible> {
    let mut answer = match frame.refusal(&asked) {
        Some(refusal) => refusal,
        None => frame.bounded(answering).await,
    };
    // What is rare is boxed, so that what is common stays small.
    if needs_a_form(&answer) {
        answer = Box::pin(as_problem(answer, &asked)).await;
    }
    let Asked { access, accept_encoding, .. } = asked;
    if is_worth_compressing(&answer) {
        answer = Box::pin(compressed(answer, accept_encoding)).await;
    }
    access.end(answer.status());
    if let Some(id) = RequestId::current() {
        frame.finish(&mut answer, &id);
    }
    Ok(answer)
}

impl Frame {
    pub(crate) const fn is_limited(&self) -> bool {
        self.limiter.is_some()
    }

    /// Takes one request of a peer's, or says when the next one is free.
    pub(crate) fn admit(&self, peer: Option<SocketAddr>) -> Result<(), Duration> {
        match (&self.limiter, peer) {
            (Some(limiter), Some(peer)) => limiter.take(peer.ip()),
            _ => Ok(()),
        }
    }

    /// What every answer gets last.
    pub(crate) fn finish(&self, answer: &mut Response, id: &RequestId) {
        let headers = answer.headers_mut();
        headers.insert(X_REQUEST_ID, id.to_header());
        if self.health.is_draining() {
            // Keep-alive clients go one answer at a time, so that none meets a connection closing under its next request.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// 429 for whoever asks too often.
    fn refusal(&self, asked: &Asked) -> Option<Response> {
        let wait = self.admit(asked.peer).err()?;
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "this address asks too often");
        Some(problem.retry_after(wait).into_response())
    }

    /// Bounds the time until the answer begins (a streamed body is not cut), and answers also for who panics.
    async fn bounded(&self, answering: impl Future<Output = Result<Response, Infallible>>) -> Response {
        let mut answering = pin!(AssertUnwindSafe(answering).catch_unwind());
        // Most answers are there at once, and need no timer.
        let at_once = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context))).await;
        let ended = match at_once {
            Poll::Ready(ended) => Ok(ended),
            Poll::Pending => tokio::time::timeout(self.time_limit, answering).await,
        };
        match ended {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Err(cause)) => panicked(cause.as_ref()),
            Err(_) => {
                let limit = self.time_limit.as_millis();
                let detail = format!("no answer within {limit} ms; a change may or may not have been stored");
                Problem::new(StatusCode::GATEWAY_TIMEOUT, detail).into_response()
            }
        }
    }
}

fn panicked(cause: &(dyn Any + Send)) -> Response {
    let message = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    tracing::error!(message, "handler_panicked");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the service failed; the request id is in its log").into_response()
}

/// Whether it is an error answer of routing or of axum's extractors.
fn needs_a_form(answer: &Response) -> bool {
    let status = answer.status();
    (status.is_client_error() || status.is_server_error())
        && answer.headers().get(header::CONTENT_TYPE).is_none_or(|value| value != PROBLEM_JSON)
}

/// Gives it the one form of all errors; its headers stay.
async fn as_problem(answer: Response, asked: &Asked) -> Response {
    let (parts, body) = answer.into_parts();
    let reason = axum::body::to_bytes(body, REASON_BYTES_MAX).await.unwrap_or_default();
    let detail = match (parts.status, std::str::from_utf8(&reason)) {
        (StatusCode::NOT_FOUND, Ok("")) => format!("nothing is served at {}", asked.uri.path()),
        (StatusCode::METHOD_NOT_ALLOWED, _) => format!("{} is not served here; `Allow` lists what is", asked.method),
        (status, Ok(reason)) if status.is_client_error() && !reason.is_empty() => reason.to_owned(),
        _ => "the request could not be served".to_owned(),
    };
    let mut problem = Problem::new(parts.status, detail).into_response();
    for (name, value) in &parts.headers {
        if ![header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CACHE_CONTROL].contains(name) {
            problem.headers_mut().append(name, value.clone());
        }
    }
    problem
}
