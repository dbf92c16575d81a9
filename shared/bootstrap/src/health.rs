//! Whether this process should get traffic, as named checks that its parts flip.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

/// Shared by everything that knows whether the process can serve; ready when every check passes and it is not draining.
#[derive(Clone, Debug)]
pub struct Health(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    checks: Mutex<BTreeMap<&'static str, Result<(), String>>>,
    is_draining: AtomicBool,
}

impl Health {
    /// Every named check fails as `starting` until its owner sets it.
    pub fn new(checks: &[&'static str]) -> Self {
        let checks = checks.iter().map(|name| (*name, Err("starting".to_owned()))).collect();
        Self(Arc::new(Inner { checks: Mutex::new(checks), is_draining: AtomicBool::new(false) }))
    }

    /// Sets a check, and logs when that changes whether it passes.
    pub fn set(&self, name: &'static str, state: Result<(), String>) {
        let now = state.clone();
        let before = self.checks().insert(name, state);
        match now {
            Ok(()) if !matches!(before, Some(Ok(()))) => tracing::info!(check = name, "health_check_passes"),
            Err(reason) if !matches!(before, Some(Err(_))) => {
                tracing::warn!(check = name, reason, "health_check_fails");
            }
            _ => {}
        }
    }

    pub fn is_ready(&self) -> bool {
        !self.is_draining() && self.checks().values().all(Result::is_ok)
    }

    pub fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Relaxed)
    }

    /// From now on not ready: the process is about to end.
    pub(crate) fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Relaxed);
    }

    /// One line per check, as Kubernetes' own components print them.
    fn report(&self) -> String {
        let mut lines = String::new();
        for (name, state) in self.checks().iter() {
            match state {
                Ok(()) => writeln!(lines, "[+]{name} ok"),
                Err(reason) => writeln!(lines, "[-]{name} {reason}"),
            }
            .expect("writing to a String cannot fail");
        }
        if self.is_draining() {
            lines.push_str("[-]draining\n");
        }
        lines
    }

    fn checks(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Result<(), String>>> {
        self.0.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The operations port: `/livez`, `/readyz` and `/metrics`.
pub(crate) fn ops_router(health: Health, metrics: PrometheusHandle) -> Router {
    let render = move || {
        let metrics = metrics.clone();
        async move { ([(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"))], metrics.render()) }
    };
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(health)
}

async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let is_ready = health.is_ready();
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let is_verbose = query.is_some_and(|query| query.split('&').any(|part| part.split('=').next() == Some("verbose")));
    let summary = if is_ready { "ok\n" } else { "not ready\n" };
    let body = if is_verbose { health.report() + summary } else { summary.to_owned() };
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ready_only_when_every_check_passes_and_it_does_not_drain() {
        let health = Health::new(&["log", "source"]);
        assert!(!health.is_ready());
        health.set("log", Ok(()));
        health.set("source", Ok(()));
        assert!(health.is_ready());
        health.set("source", Err("no replica answers".into()));
        assert!(!health.is_ready());
        assert_eq!(health.report(), "[+]log ok\n[-]source no replica answers\n");
        health.set("source", Ok(()));
        health.drain();
        assert!(!health.is_ready());
    }
}
