//! The settings of `freshet-projector`, with all defaults.

use std::net::SocketAddr;

use bootstrap::{NatsSettings, ServeSettings};
use cache::CacheSettings;
use clap::{Parser, Subcommand};
use client::Client;
use sqlx::postgres::PgConnectOptions;

/// Above this an auditor would be a load of its own.
const SAMPLES_PER_SECOND_MAX: i64 = 100;
/// A day: whoever wants more lets the service do it.
const SECONDS_MAX: u64 = 86_400;

/// Keeps what Redis holds up to date with the stream of product events
#[derive(Parser, Debug)]
#[command(name = "freshet-projector", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: Settings,
}

/// What the program does.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Projects events until SIGTERM, and audits at a low rate if read nodes are named; also the default
    Serve(Box<Settings>),
    /// Fills Redis with all products from a replica; safe while events flow
    ///
    /// An entry that is newer than what the replica has stays. Redis is a cache: this only spares the databases the first
    /// reads, for example after Redis was emptied.
    ///
    /// Exit code: 0 if all products were read, 1 if it was stopped before, 2 if it could not go on.
    Rebuild(Box<RebuildSettings>),
    /// Compares every read node and Redis with the primary for a while, and says how fresh they are
    ///
    /// Samples products that have just changed and random ones. Counts as violation only what a promise forbids; how soon
    /// changes were seen is shown as shares within 10 ms, 100 ms, 1 s and 10 s. Nothing is written.
    ///
    /// Exit code: 0 if no promise was broken, 1 if one was, 2 if nothing could be judged.
    Audit(Box<AuditSettings>),
}

impl Cli {
    /// What to do; to serve if nothing else is said.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or_else(|| Command::Serve(Box::new(self.settings)))
    }
}

/// The settings of `freshet-projector serve`.
#[derive(clap::Args, Clone, Debug)]
pub struct Settings {
    /// The address of `/livez`, `/readyz` and `/metrics`
    #[arg(long, env = "FRESHET_OPS_LISTEN", default_value = "127.0.0.1:7183", value_name = "ADDR:PORT")]
    pub ops_listen: SocketAddr,

    #[command(flatten)]
    pub nats: NatsSettings,

    #[command(flatten)]
    pub cache: CacheSettings,

    #[command(flatten)]
    pub audited: AuditedSettings,

    /// How many products are audited each second; 0 audits none
    #[arg(
        long,
        env = "FRESHET_AUDIT_SAMPLES_PER_SECOND",
        default_value_t = 1,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(0..=SAMPLES_PER_SECOND_MAX)
    )]
    pub audit_samples_per_second: u32,

    #[command(flatten)]
    pub serve: ServeSettings,
}

/// What an auditor asks and whom it believes.
#[derive(clap::Args, Clone, Debug)]
pub struct AuditedSettings {
    /// The read nodes to audit, each by itself and not through a load balancer, separated by commas
    #[arg(
        long,
        env = "FRESHET_READ_URLS",
        value_name = "URL,...",
        value_delimiter = ',',
        value_parser = node
    )]
    pub read_urls: Vec<Client>,

    /// The Postgres primary, which an audit compares with
    #[arg(long, env = "FRESHET_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<PgConnectOptions>,
}

/// The settings of `freshet-projector audit`.
#[derive(clap::Args, Clone, Debug)]
pub struct AuditSettings {
    #[command(flatten)]
    pub audited: AuditedSettings,

    #[command(flatten)]
    pub nats: NatsSettings,

    #[command(flatten)]
    pub cache: CacheSettings,

    /// How long samples are taken; the last ones are followed for some seconds more
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    pub seconds: u64,

    /// How many products are sampled each second
    #[arg(
        long,
        default_value_t = 10,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=SAMPLES_PER_SECOND_MAX)
    )]
    pub samples_per_second: u32,
}

/// The settings of `freshet-projector rebuild`.
#[derive(clap::Args, Clone, Debug)]
pub struct RebuildSettings {
    /// The Postgres replicas, separated by commas; the first that can be used is read
    #[arg(long, env = "FRESHET_REPLICA_URLS", hide_env_values = true, value_name = "URL,...", value_delimiter = ',')]
    pub replica_urls: Vec<PgConnectOptions>,

    /// The Postgres primary, read if no replica can be used
    #[arg(long, env = "FRESHET_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<PgConnectOptions>,

    #[command(flatten)]
    pub nats: NatsSettings,

    #[command(flatten)]
    pub cache: CacheSettings,

    /// Fills no faster than this; 0 as fast as it goes
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    pub products_per_second_max: u32,
}

fn node(url: &str) -> Result<Client, String> {
    Client::new(url).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, clap::Error> {
        Cli::try_parse_from(["freshet-projector"].iter().chain(arguments)).map(Cli::into_command)
    }

    fn refused(arguments: &[&str]) -> bool {
        parsed(arguments).is_err_and(|error| error.exit_code() == 2)
    }

    #[test]
    fn the_defaults_are_those_of_the_settings_table() {
        for arguments in [&[][..], &["serve"]] {
            let Ok(Command::Serve(settings)) = parsed(arguments) else { panic!("it serves") };
            assert_eq!(settings.ops_listen, SocketAddr::from(([127, 0, 0, 1], 7183)));
            assert_eq!(settings.cache.product_ttl_seconds, 3_600);
            assert_eq!(settings.audit_samples_per_second, 1);
            assert!(settings.audited.read_urls.is_empty(), "and so nothing is audited");
        }
        let Ok(Command::Audit(audit)) = parsed(&["audit"]) else { panic!("it audits") };
        assert_eq!((audit.seconds, audit.samples_per_second), (60, 10));
        let Ok(Command::Rebuild(rebuild)) = parsed(&["rebuild"]) else { panic!("it rebuilds") };
        assert_eq!(rebuild.products_per_second_max, 0);
    }

    #[test]
    fn settings_that_cannot_work_are_refused_at_start() {
        assert!(refused(&["--product-ttl-seconds", "0"]));
        assert!(refused(&["--redis-url", "http://localhost:1"]));
        assert!(refused(&["--nats-url", "http://localhost:2"]));
        assert!(refused(&["--ops-listen", "localhost"]));
        assert!(refused(&["--audit-samples-per-second", "101"]));
        assert!(refused(&["audit", "--read-urls", "localhost:7082"]));
        assert!(refused(&["audit", "--samples-per-second", "0"]));
        assert!(refused(&["audit", "--seconds", "0"]));
        assert!(refused(&["rebuild-everything"]));
    }
}
