//! Every setting of the write service, with its default.

use std::net::SocketAddr;

use bootstrap::{NatsSettings, ServeSettings};
use clap::{Parser, Subcommand};
use sqlx::postgres::PgConnectOptions;
use time::OffsetDateTime;

use crate::keys::{self, Scope};

/// Takes changes of the catalogue, stores each with its event, and publishes the events
#[derive(Parser, Debug)]
#[command(name = "freshet-write", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

/// What the process does.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Serves the API until it is told to stop; also the default
    Serve(Box<Settings>),
    /// Brings the database's tables up to date, and ends
    Migrate(MigrateSettings),
    /// Prints the `OpenAPI` document, and ends
    Openapi,
    /// Makes the first API key, and ends; with it others are made through the API
    #[command(subcommand)]
    Keys(KeysCommand),
}

/// What is done about API keys without the API.
#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
    /// Makes an API key and prints it on standard output, this once
    Create(KeySettings),
}

impl Cli {
    /// What to do; to serve if nothing else is said.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Serve(Box::new(self.settings)))
    }
}

/// The settings of `freshet-write serve`.
#[derive(clap::Args, Clone, Debug)]
pub struct Settings {
    /// Where the API listens
    #[arg(long, env = "FRESHET_LISTEN", default_value = "127.0.0.1:7081", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where `/livez`, `/readyz` and `/metrics` listen
    #[arg(long, env = "FRESHET_OPS_LISTEN", default_value = "127.0.0.1:7181", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,

    #[command(flatten)]
    pub database: DatabaseSettings,

    /// Most connections to Postgres beside one for patches and one for the relay; each serves one transaction at a time
    #[arg(
        long,
        env = "FRESHET_DATABASE_CONNECTIONS_MAX",
        default_value_t = 16,
        value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..=1_000)
    )]
    pub database_connections_max: u32,

    #[command(flatten)]
    pub history: HistorySettings,

    #[command(flatten)]
    pub nats: NatsSettings,

    #[command(flatten)]
    pub serve: ServeSettings,
}

/// The settings of `freshet-write migrate`.
#[derive(clap::Args, Clone, Debug)]
pub struct MigrateSettings {
    #[command(flatten)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    pub history: HistorySettings,
}

/// How long it is known what prices and stocks were.
#[derive(clap::Args, Clone, Debug)]
pub struct HistorySettings {
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
}

/// Where the products are.
#[derive(clap::Args, Clone, Debug)]
pub struct DatabaseSettings {
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
}

/// The key that `freshet-write keys create` makes.
#[derive(clap::Args, Clone, Debug)]
pub struct KeySettings {
    #[command(flatten)]
    pub database: DatabaseSettings,

    /// Says whose it is, in the history of products and in logs
    #[arg(long)]
    pub name: String,

    /// What it allows: `products:write`, `products:bulk`, `keys:admin`; separated by commas, or repeated
    #[arg(long = "scope", required = true, value_name = "SCOPE", value_delimiter = ',')]
    pub scopes: Vec<Scope>,

    /// From when on it is good for nothing, such as 2027-01-31T00:00:00Z; without it, it never expires
    #[arg(long, value_name = "TIME", value_parser = keys::moment)]
    pub expires_at: Option<OffsetDateTime>,
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

    fn parsed(arguments: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from(["freshet-write"].iter().chain(arguments)).map(Cli::into_command)
    }

    #[test]
    fn without_arguments_it_serves_on_loopback() {
        for arguments in [&[][..], &["serve"]] {
            let Ok(Command::Serve(settings)) = parsed(arguments) else { panic!("it serves") };
            assert_eq!((settings.listen.to_string(), settings.ops_listen.port()), ("127.0.0.1:7081".to_owned(), 7181));
        }
    }

    #[test]
    fn each_command_has_its_own_settings() {
        let Ok(Command::Migrate(settings)) = parsed(&["migrate", "--database-url", "postgres://db/x"]) else {
            panic!("it migrates")
        };
        assert_eq!(settings.database.database_url.get_host(), "db");
        let create = ["keys", "create", "--name", "feed", "--scope", "products:write,keys:admin", "--scope"];
        let Ok(Command::Keys(KeysCommand::Create(key))) = parsed(&[&create[..], &["products:bulk"]].concat()) else {
            panic!("it makes a key")
        };
        assert_eq!(key.scopes, [Scope::ProductsWrite, Scope::KeysAdmin, Scope::ProductsBulk]);
    }

    #[test]
    fn bad_settings_are_refused_at_start() {
        for bad in [
            &["--database-url", "mysql://x"][..],
            &["--listen", "7081"],
            &["--database-connections-max", "0"],
            &["--history-months", "0"],
            &["keys", "create", "--name", "feed"],
            &["keys", "create", "--name", "feed", "--scope", "everything"],
            &["keys", "create", "--name", "feed", "--scope", "keys:admin", "--expires-at", "tomorrow"],
        ] {
            assert_eq!(parsed(bad).err().map(|error| error.exit_code()), Some(2), "{bad:?}");
        }
    }
}
