//! Logs on standard error and Prometheus metrics, installed once per process.

use std::sync::OnceLock;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

use crate::access;
use crate::settings::{LogFormat, ServeSettings};

/// From a near-cache hit to the request timeout; 5 ms, 50 ms and 250 ms are where service levels are usually drawn.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Propagation is promised in single milliseconds, so these are told apart; the long end is for outages.
const LAG_BUCKETS: [f64; 20] = [
    0.0005, 0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 60.0,
];

/// From one event at a time to the largest batch that is taken.
const BATCH_BUCKETS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts logging and metrics; call it first in `main`, so that nothing recorded is lost.
///
/// # Errors
/// Another logger or recorder is already installed in this process.
pub fn init_telemetry(service: &'static str, settings: &ServeSettings) -> anyhow::Result<()> {
    init_logging(settings)?;
    install_metrics()?;
    metrics::gauge!("freshet_build_info", "service" => service, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(())
}

/// The process's metrics, installed at the first call: before anything is described or recorded.
///
/// # Errors
/// Another recorder is installed in this process.
pub fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    if let Some(handle) = METRICS.get() {
        return Ok(handle.clone());
    }
    let mut builder = PrometheusBuilder::new();
    let buckets =
        [("_duration_seconds", &SECONDS_BUCKETS[..]), ("_lag_seconds", &LAG_BUCKETS), ("_batch_size", &BATCH_BUCKETS)];
    for (suffix, buckets) in buckets {
        builder = builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)?;
    }
    match builder.install_recorder() {
        Ok(handle) => {
            metrics::describe_gauge!("freshet_build_info", "1, labelled with the service and its version");
            access::describe();
            Ok(METRICS.get_or_init(|| handle).clone())
        }
        // Another thread of a test process came first.
        Err(error) => METRICS.get().cloned().context(error),
    }
}

fn init_logging(settings: &ServeSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&settings.log).context("the log filter is invalid")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("logging could not be installed: {error}"))
}
