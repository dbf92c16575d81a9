//! Every setting of the write service, with its default.

use std::net::SocketAddr;

use bootstrap::{NatsSettings, ServeSettings};
use clap::{Parser, ValueEnum};
use sqlx::postgres::PgConnectOptions;

/// Takes changes of the catalogue, stores each with its event, and publishes the events
#[derive(Parser, Clone, Debug)]
#[command(name = "freshet-write", version)]
pub struct Settings {
    #[arg(value_enum, default_value = "serve")]
    pub command: Command,

    /// Where the API listens
    #[arg(long, env = "FRESHET_LISTEN", default_value = "127.0.0.1:7081", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where `/livez`, `/readyz` and `/metrics` listen
    #[arg(long, env = "FRESHET_OPS_LISTEN", default_value = "127.0.0.1:7181", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,

    /// The Postgres primary
    #[arg(
        long,
        env = "FRESHET_DATABASE_URL",
        default_value = "postgres://freshet@127.0.0.1:5432/freshet",
        value_name = "URL",
        value_parser = postgres_url,
        hide_env_values = true
    )]
    pub database_url: PgConnectOptions,

    /// Most connections to Postgres beside one for patches and one for the relay; each serves one transaction at a time
    #[arg(
        long,
        env = "FRESHET_DATABASE_CONNECTIONS_MAX",
        default_value_t = 16,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub database_connections_max: u32,

    /// Months that the history of prices and stocks is kept beside the present one
    ///
    /// Two years: as long as buyers may complain in most countries, and long enough to compare a season with the one before.
    #[arg(
        long,
        env = "FRESHET_HISTORY_MONTHS",
        default_value_t = 24,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=1_200)
    )]
    pub history_months: u32,

    #[command(flatten)]
    pub nats: NatsSettings,

    #[command(flatten)]
    pub serve: ServeSettings,
}

/// What the process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Command {
    /// Serves the API until it is told to stop
    Serve,
    /// Brings the database's tables up to date, and ends
    Migrate,
    /// Prints the `OpenAPI` document, and ends
    Openapi,
}

/// Refuses at start what sqlx would only fail to connect to.
fn postgres_url(url: &str) -> Result<PgConnectOptions, String> {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err("must be a postgres:// URL".to_owned());
    }
    url.parse().map_err(|error: sqlx::Error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_it_serves_on_loopback() {
        let settings = Settings::parse_from(["freshet-write"]);
        assert_eq!(settings.command, Command::Serve);
        assert_eq!((settings.listen.to_string(), settings.ops_listen.port()), ("127.0.0.1:7081".to_owned(), 7181));
    }

    #[test]
    fn a_command_takes_the_settings_on_either_side() {
        for arguments in
            [["--database-url", "postgres://db/x", "migrate"], ["migrate", "--database-url", "postgres://db/x"]]
        {
            let settings = Settings::parse_from(["freshet-write"].into_iter().chain(arguments));
            assert_eq!((settings.command, settings.database_url.get_host()), (Command::Migrate, "db"));
        }
    }

    #[test]
    fn bad_settings_are_refused_at_start() {
        for bad in [
            ["--database-url", "mysql://x"],
            ["--listen", "7081"],
            ["--database-connections-max", "0"],
            ["--history-months", "0"],
        ] {
            let refused = Settings::try_parse_from(["freshet-write"].into_iter().chain(bad));
            assert_eq!(refused.err().map(|error| error.exit_code()), Some(2), "{bad:?}");
        }
    }
}
