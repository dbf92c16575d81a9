//! The settings of the shared cache, the same in every service that uses it.

use std::time::Duration;

use crate::{Cache, CacheError};

/// A month: longer than any entry is useful, and a mistyped unit shows at start.
const TTL_SECONDS_MAX: u64 = 30 * 24 * 3_600;

/// Where Redis is and how long it keeps what it holds (`#[command(flatten)]` it).
#[derive(clap::Args, Clone, Debug)]
pub struct CacheSettings {
    /// The shared cache
    #[arg(
        long,
        env = "FRESHET_REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        value_name = "URL",
        value_parser = redis_url,
        hide_env_values = true
    )]
    pub redis_url: String,

    /// How long an entry stays in Redis after it was written, up to a tenth less by product; bounds memory, not staleness
    #[arg(
        long,
        env = "FRESHET_PRODUCT_TTL_SECONDS",
        default_value_t = 3_600,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=TTL_SECONDS_MAX)
    )]
    pub product_ttl_seconds: u64,
}

impl CacheSettings {
    /// The cache; connects when it is first asked.
    pub fn open(&self) -> Result<Cache, CacheError> {
        Cache::new(&self.redis_url, Duration::from_secs(self.product_ttl_seconds))
    }
}

fn redis_url(text: &str) -> Result<String, String> {
    redis::Client::open(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
