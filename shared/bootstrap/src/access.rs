//! What is said about every request: one log event, and its rate, errors and duration as metrics.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use metrics::{Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram};

const REQUESTS: &str = "freshet_http_requests_total";
const DURATION: &str = "freshet_http_request_duration_seconds";

/// Says what the metrics mean.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "Requests answered, by route, method and status");
    describe_histogram!(DURATION, Unit::Seconds, "Time until the answer begins, by route and method");
}

/// A request that is being answered.
pub(crate) struct Access {
    begun: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
}

/// The metrics of one kind of answer of a route: looking them up in the registry would cost more than recording.
struct Kind {
    method: &'static str,
    status: StatusCode,
    answers: Counter,
    duration: Histogram,
}

thread_local! {
    /// By route. Routes, methods and statuses are few.
    static KINDS: RefCell<HashMap<String, Vec<Kind>>> = RefCell::default();
}

impl Access {
    pub(crate) fn begin(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { begun: Instant::now(), method: method_label(request.method()), route }
    }

    /// Reports it once the answer begins (a streamed body may still follow).
    pub(crate) fn end(&self, status: StatusCode) {
        let elapsed = self.begun.elapsed();
        let route = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        tracing::info!(
            target: "access",
            method = self.method,
            route,
            status = status.as_u16(),
            duration_ms = elapsed.as_secs_f64() * 1_000.0,
            "request"
        );
        record(route, self.method, status, elapsed);
    }
}

fn record(route: &str, method: &'static str, status: StatusCode, elapsed: Duration) {
    KINDS.with_borrow_mut(|routes| {
        if !routes.contains_key(route) {
            routes.insert(route.to_owned(), Vec::new());
        }
        let kinds = routes.get_mut(route).expect("it was inserted if it was not there");
        let at = kinds.iter().position(|kind| kind.status == status && kind.method == method).unwrap_or_else(|| {
            kinds.push(Kind::new(route, method, status));
            kinds.len() - 1
        });
        kinds[at].answers.increment(1);
        kinds[at].duration.record(elapsed);
    });
}

impl Kind {
    fn new(route: &str, method: &'static str, status: StatusCode) -> Self {
        let route = route.to_owned();
        let answers =
            counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.as_str().to_owned());
        Self { method, status, answers, duration: histogram!(DURATION, "route" => route, "method" => method) }
    }
}

/// Methods are the client's text; labels come from a closed set.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
