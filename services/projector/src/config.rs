//! The settings of `freshet-projector`, with all defaults.

use std::net::SocketAddr;

use bootstrap::{NatsSettings, ServeSettings};
use cache::CacheSettings;
use clap::{Parser, ValueEnum};

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

    #[command(flatten)]
    pub nats: NatsSettings,

    #[command(flatten)]
    pub cache: CacheSettings,

    #[command(flatten)]
    pub serve: ServeSettings,
}

/// What the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// Project events until told to stop
    Serve,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> bool {
        let parsed = Settings::try_parse_from(["freshet-projector"].iter().chain(arguments));
        parsed.is_err_and(|error| error.exit_code() == 2)
    }

    #[test]
    fn the_defaults_are_those_of_the_settings_table() {
        let settings = Settings::parse_from(["freshet-projector"]);
        assert_eq!(settings.command, Command::Serve);
        assert_eq!(settings.ops_listen, SocketAddr::from(([127, 0, 0, 1], 7183)));
        assert_eq!(settings.cache.product_ttl_seconds, 3_600);
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
