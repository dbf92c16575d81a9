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
    route: Route,
}

/// Where the answer comes from.
pub(crate) enum Route {
    Matched(MatchedPath),
    Named(&'static str),
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
    pub(crate) fn begin(begun: Instant, method: &Method, route: Route) -> Self {
        Self { begun, method: method_label(method), route }
    }

    /// Reports it once the answer begins (a streamed body may still follow).
    pub(crate) fn end(&self, status: StatusCode) {
        let elapsed = self.begun.elapsed();
        let route = self.route.as_str();
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

impl Route {
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get::<MatchedPath>().cloned().map_or(Self::Named("unmatched"), Self::Matched)
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Matched(path) => path.as_str(),
            Self::Named(name) => name,
        }
    }
}

fn record(route: &str, method: &'static str, status: StatusCode, elapsed: Duration) {
    KINDS.with_borrow_mut(|routes| {
        let is_such = |kind: &&Kind| kind.status == status && kind.method == method;
        if let Some(kind) = routes.get(route).and_then(|kinds| kinds.iter().find(is_such)) {
            return kind.count(elapsed);
        }
        let kind = Kind::new(route, method, status);
        kind.count(elapsed);
        routes.entry(route.to_owned()).or_default().push(kind);
    });
}

impl Kind {
    fn new(route: &str, method: &'static str, status: StatusCode) -> Self {
        let route = route.to_owned();
        let answers =
            counter!(REQUESTS, "route" => route.clone(), "method" => method, "status" => status.as_str().to_owned());
        Self { method, status, answers, duration: histogram!(DURATION, "route" => route, "method" => method) }
    }

    fn count(&self, elapsed: Duration) {
        self.answers.increment(1);
        self.duration.record(elapsed);
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
