//! Logs on standard error and Prometheus metrics, installed once per process.

use std::fmt;
use std::sync::OnceLock;

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::access;
use crate::request_id::{RequestId, current_actor};
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
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .map_event_format(|lines| Naming { lines, form: LogFormat::Json })
            .try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .map_event_format(|lines| Naming { lines, form: LogFormat::Text })
            .try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("logging could not be installed: {error}"))
}

/// Adds the id of the request, if there is one, and who makes it, if that is known, to every line that is logged for it.
///
/// Not a span around each request: that would cost a hot read as much as all its own work, and most log nothing.
struct Naming<F> {
    lines: F,
    form: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for Naming<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let Some(id) = RequestId::current() else { return self.lines.format_event(context, writer, event) };
        let mut line = String::new();
        self.lines.format_event(context, Writer::new(&mut line), event)?;
        let fields = [("request_id", Some(id.to_string())), ("actor", current_actor().map(|actor| actor.to_string()))];
        let mut fields = fields.into_iter().filter_map(|(name, value)| Some((name, serde_json::Value::from(value?))));
        if let (LogFormat::Json, Some(open)) = (self.form, line.trim_end().strip_suffix('}')) {
            writer.write_str(open)?;
            fields.try_for_each(|(name, value)| write!(writer, ",\"{name}\":{value}"))?;
            return writeln!(writer, "}}");
        }
        writer.write_str(line.trim_end())?;
        fields.try_for_each(|(name, value)| write!(writer, " {name}={value}"))?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use axum::http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::request_id::name_actor;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics with it").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_names_the_request_that_it_is_logged_for_and_who_makes_it() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .json()
            .flatten_event(true)
            .map_event_format(|lines| Naming { lines, form: LogFormat::Json })
            .finish();
        let _installed = tracing::subscriber::set_default(subscriber);
        let sent = HeaderMap::from_iter([(crate::request_id::X_REQUEST_ID, HeaderValue::from_static("a\"b"))]);

        RequestId::choose(&sent, std::time::Instant::now())
            .scope(async {
                tracing::info!(id = 7, "product_read");
                name_actor(&"price \"feed\"".into());
                tracing::info!("product_changed");
            })
            .await;
        tracing::info!("outside");

        let text = String::from_utf8(lines.0.lock().expect("no test panics with it").clone()).expect("UTF-8");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect();
        assert_eq!((&lines[0]["request_id"], &lines[0]["id"]), (&"a\"b".into(), &7.into()));
        assert!(lines[0].get("actor").is_none());
        assert_eq!((&lines[1]["request_id"], &lines[1]["actor"]), (&"a\"b".into(), &"price \"feed\"".into()));
        assert!(lines[2].get("request_id").is_none() && lines[2].get("actor").is_none());
    }
}
