//! The settings of `freshet-projector`, with all defaults.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::ServerAddr;
use bootstrap::ServeSettings;
use clap::{Parser, ValueEnum};

/// A month: longer than any entry is useful, and a mistyped unit shows at start.
const TTL_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// Keeps what Redis holds up to date with the stream of product events
#[derive(Parser, Clone, Debug)]
#[command(name = "freshet-projector", version)]
pub struct Settings {
    /// What to do
    #[arg(value_enum, default_value = "serve")]
    pub command: Command,

    /// The address of `/livez`, `/readyz` and `/metrics`
    #[arg(long, env = "FRESHET_OPS_LISTEN", default_value = "127.0.0.1:7183", value_name = "ADDR:PORT")]
    pub ops_listen: SocketAddr,

    /// The cache, such as `redis://127.0.0.1:6379`
    #[arg(long, env = "FRESHET_REDIS_URL", value_name = "URL", value_parser = redis_url)]
    pub redis_url: String,

    /// A server of the stream, such as `nats://127.0.0.1:4222`
    #[arg(long, env = "FRESHET_NATS_URL", value_name = "URL")]
    pub nats_url: ServerAddr,

    /// How long an entry stays in Redis after its last change, up to a tenth less by product
    #[arg(
        long,
        env = "FRESHET_PRODUCT_TTL_SECONDS",
        default_value_t = 3600,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=TTL_SECONDS_MAX)
    )]
    pub product_ttl_seconds: u64,

    #[command(flatten)]
    pub serve: ServeSettings,
}

/// What the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// Project events until told to stop
    Serve,
}

impl Settings {
    pub(crate) fn product_ttl(&self) -> Duration {
        Duration::from_secs(self.product_ttl_seconds)
    }
}

fn redis_url(text: &str) -> Result<String, &'static str> {
    if text.starts_with("redis://") { Ok(text.to_owned()) } else { Err("a Redis URL begins with redis://") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDED: [&str; 5] =
        ["freshet-projector", "--redis-url", "redis://localhost:1", "--nats-url", "nats://localhost:2"];

    fn refused(more: &[&str]) -> bool {
        let parsed = Settings::try_parse_from(NEEDED.iter().chain(more));
        parsed.is_err_and(|error| error.exit_code() == 2)
    }

    #[test]
    fn the_defaults_are_those_of_the_settings_table() {
        let settings = Settings::parse_from(NEEDED);
        assert_eq!(settings.command, Command::Serve);
        assert_eq!(settings.ops_listen, SocketAddr::from(([127, 0, 0, 1], 7183)));
        assert_eq!(settings.product_ttl(), Duration::from_hours(1));
        assert!(!refused(&["serve"]), "the command may be named");
    }

    #[test]
    fn settings_that_cannot_work_are_refused_at_start() {
        assert!(refused(&["--product-ttl-seconds", "0"]));
        assert!(refused(&["--redis-url", "http://localhost:1"]));
        assert!(refused(&["--nats-url", "http://localhost:2"]));
        assert!(refused(&["--ops-listen", "localhost"]));
        assert!(refused(&["rebuild-everything"]));
    }
}
