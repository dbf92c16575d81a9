//! The settings that every service has; each service adds its own beside them.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Longest accepted duration: an hour is past any sensible timeout, and a mistyped unit shows at start.
const DURATION_MS_MAX: u64 = 3_600_000;

/// Settings shared by all services (`#[command(flatten)]` them).
#[derive(clap::Args, Clone, Debug)]
pub struct ServeSettings {
    /// What is logged: a level, or targets with levels, such as `info,access=warn`
    #[arg(long, env = "FRESHET_LOG", default_value = "info", value_name = "FILTER", value_parser = log_filter)]
    pub log: String,

    /// The form of log lines on standard error
    #[arg(long, env = "FRESHET_LOG_FORMAT", default_value = "json", value_name = "FORMAT")]
    pub log_format: LogFormat,

    /// How many requests per second one peer address may make; 0 for no limit. Behind a gateway all clients have one
    #[arg(long, env = "FRESHET_REQUESTS_PER_SECOND_MAX", default_value_t = 0, value_name = "NUMBER")]
    pub requests_per_second_max: u32,

    /// Longest time until an answer begins; after it the client gets 504
    #[arg(long, env = "FRESHET_REQUEST_TIMEOUT_MS", default_value_t = 10_000, value_name = "MS", value_parser = positive_ms())]
    pub request_timeout_ms: u64,

    /// Longest time for a client to send a request's headers; also how long an idle connection is kept
    #[arg(long, env = "FRESHET_HEADER_TIMEOUT_MS", default_value_t = 5_000, value_name = "MS", value_parser = positive_ms())]
    pub header_timeout_ms: u64,

    /// Time between `/readyz` turning 503 and the listener closing, for load balancers to look away
    #[arg(long, env = "FRESHET_DRAIN_DELAY_MS", default_value_t = 1_000, value_name = "MS", value_parser = any_ms())]
    pub drain_delay_ms: u64,

    /// Longest wait for running requests, and then for background work, once the listener has closed
    #[arg(long, env = "FRESHET_DRAIN_GRACE_MS", default_value_t = 10_000, value_name = "MS", value_parser = any_ms())]
    pub drain_grace_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line, for collectors
    Json,
    /// For people
    Text,
}

impl ServeSettings {
    pub(crate) const fn requests_per_second_max(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.requests_per_second_max)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) fn drain_delay(&self) -> Duration {
        Duration::from_millis(self.drain_delay_ms)
    }

    pub(crate) fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }
}

fn positive_ms() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=DURATION_MS_MAX)
}

fn any_ms() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(0..=DURATION_MS_MAX)
}

/// Refuses a bad filter at start; it is kept as text because an `EnvFilter` cannot be cloned.
fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        serve: ServeSettings,
    }

    #[test]
    fn the_defaults_are_those_of_the_settings_table() {
        let serve = Cli::parse_from(["x"]).serve;
        assert_eq!((serve.log.as_str(), serve.log_format), ("info", LogFormat::Json));
        assert_eq!((serve.request_timeout_ms, serve.header_timeout_ms), (10_000, 5_000));
        assert_eq!((serve.drain_delay_ms, serve.drain_grace_ms), (1_000, 10_000));
    }

    #[test]
    fn a_bad_log_filter_and_a_zero_timeout_are_refused() {
        for bad in [["x", "--log", "freshet=loud"], ["x", "--request-timeout-ms", "0"]] {
            assert_eq!(Cli::try_parse_from(bad).err().map(|error| error.exit_code()), Some(2), "{bad:?}");
        }
    }
}
