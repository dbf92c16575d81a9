//! Every setting of the read service, with its default and its limits.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::ensure;
use axum::http::HeaderValue;
use bootstrap::{NatsSettings, ServeSettings};
use cache::CacheSettings;
use catalog::Currency;
use sqlx::postgres::PgConnectOptions;

use crate::sources::ReadsPerSecond;

/// A day: far more than any hit ratio gains from; a mistyped unit shows at start.
const HORIZON_SECONDS_MAX: u64 = 86_400;
/// An hour: heartbeats of that long are remembered.
const LAG_MS_MAX: u64 = 3_600_000;

/// The settings of `freshet-read serve`.
#[derive(clap::Args, Clone, Debug)]
pub struct ReadSettings {
    #[command(flatten)]
    pub serve: ServeSettings,

    /// Address of the API
    #[arg(long, env = "FRESHET_LISTEN", default_value = "127.0.0.1:7082", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Address of `/livez`, `/readyz` and `/metrics`
    #[arg(long, env = "FRESHET_OPS_LISTEN", default_value = "127.0.0.1:7182", value_name = "ADDRESS")]
    pub ops_listen: SocketAddr,

    /// The Postgres primary, asked only for what no replica can answer
    #[arg(long, env = "FRESHET_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<PgConnectOptions>,

    /// The Postgres replicas, separated by commas
    #[arg(long, env = "FRESHET_REPLICA_URLS", hide_env_values = true, value_name = "URLS", value_delimiter = ',')]
    pub replica_urls: Vec<PgConnectOptions>,

    #[command(flatten)]
    pub cache: CacheSettings,

    #[command(flatten)]
    pub nats: NatsSettings,

    /// Currency of price filters and sorts that name none
    #[arg(long, env = "FRESHET_DEFAULT_CURRENCY", default_value = "USD", value_name = "ISO_4217")]
    pub default_currency: Currency,

    /// A replica that lags more than this is left out
    #[arg(long, env = "FRESHET_REPLICA_LAG_MAX_MS", default_value_t = 5_000, value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1..=LAG_MS_MAX))]
    pub replica_lag_max_ms: u64,

    /// How often the primary may be asked, in reads per second of this node
    #[arg(long, env = "FRESHET_PRIMARY_READS_PER_SECOND", default_value = "200", value_name = "NUMBER")]
    pub primary_reads_per_second: NonZeroU32,

    /// How many reads per second with `Cache-Control: no-cache` go to the primary, beside the others; more get 503
    #[arg(long, env = "FRESHET_NO_CACHE_READS_PER_SECOND", default_value = "20", value_name = "NUMBER")]
    pub no_cache_reads_per_second: NonZeroU32,

    /// How far back changes are remembered; more memory, more hits
    #[arg(long, env = "FRESHET_HORIZON_SECONDS", default_value_t = 600, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=HORIZON_SECONDS_MAX))]
    pub horizon_seconds: u64,

    /// How long the stream of changes may be silent at start; after it the node answers from Postgres alone
    #[arg(long, env = "FRESHET_NATS_WAIT_MS", default_value_t = 5_000, value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1..=LAG_MS_MAX))]
    pub nats_wait_ms: u64,

    /// Memory for products kept near, in bytes; 0 keeps none
    #[arg(long, env = "FRESHET_NEAR_BYTES_MAX", default_value_t = 268_435_456, value_name = "BYTES")]
    pub near_bytes_max: u64,

    /// Memory for pages of lists and searches, in bytes; 0 keeps none
    #[arg(long, env = "FRESHET_PAGE_BYTES_MAX", default_value_t = 134_217_728, value_name = "BYTES")]
    pub page_bytes_max: u64,

    /// Memory for the changes that pages are checked by, in bytes; a page that was not asked for while so much changed is
    /// read anew
    #[arg(long, env = "FRESHET_TAIL_BYTES_MAX", default_value_t = 134_217_728, value_name = "BYTES")]
    pub tail_bytes_max: usize,

    /// How long the log may be silent before what is kept near is bypassed
    #[arg(long, env = "FRESHET_NEAR_SILENCE_MAX_MS", default_value_t = 10_000, value_name = "MS",
        value_parser = clap::value_parser!(u64).range(1..=LAG_MS_MAX))]
    pub near_silence_max_ms: u64,

    /// `Cache-Control` of products and lists
    #[arg(
        long,
        env = "FRESHET_CACHE_CONTROL",
        default_value = "public, max-age=0, must-revalidate",
        value_name = "VALUE"
    )]
    pub cache_control: HeaderValue,
}

impl ReadSettings {
    /// Checks what the settings' own forms do not show.
    ///
    /// # Errors
    /// No database is named.
    pub fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.database_url.is_some() || !self.replica_urls.is_empty(),
            "no database is named: set --replica-urls (FRESHET_REPLICA_URLS), --database-url (FRESHET_DATABASE_URL) or both"
        );
        Ok(())
    }

    pub(crate) const fn reads_per_second(&self) -> ReadsPerSecond {
        ReadsPerSecond { primary: self.primary_reads_per_second, no_cache: self.no_cache_reads_per_second }
    }

    pub(crate) fn replica_lag_max(&self) -> Duration {
        Duration::from_millis(self.replica_lag_max_ms)
    }

    pub(crate) fn near_silence_max(&self) -> Duration {
        Duration::from_millis(self.near_silence_max_ms)
    }

    pub(crate) fn horizon(&self) -> Duration {
        Duration::from_secs(self.horizon_seconds)
    }

    pub(crate) fn nats_wait(&self) -> Duration {
        Duration::from_millis(self.nats_wait_ms)
    }
}
