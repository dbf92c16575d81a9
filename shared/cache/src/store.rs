//! Reads and writes of entries, each bounded in time and in one round trip.

use std::time::Duration;

use bytes::Bytes;
use catalog::ProductId;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Pipeline, RedisResult, Script};

use crate::Entry;

/// A healthy Redis answers in far less; a reader goes on to the next tier rather than wait longer.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(250);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);
/// How long a lost connection may wait before it is tried again.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);

/// A page is held no longer than this: whoever reads it checks it against all changes since, of which less are remembered
/// than of products. So long it is worth while where another node asks for the same.
const PAGE_TTL_MS: u64 = 60_000;

/// What a page is held under: half a digest of its query.
pub type PageKey = [u8; 16];

/// Why Redis could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    #[error("Redis did not answer")]
    Redis(#[from] redis::RedisError),
}

/// The shared cache behind one multiplexed connection that comes back by itself.
#[derive(Clone)]
pub struct Cache {
    connection: ConnectionManager,
    put_if_newer: Script,
    time_to_live: Duration,
}

impl Cache {
    /// Names the server; connects when it is first asked, so that a service can start while Redis is away.
    pub fn new(url: &str, time_to_live: Duration) -> Result<Self, CacheError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_number_of_retries(1)
            .set_max_delay(RECONNECT_DELAY_MAX);
        let connection = ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?;
        Ok(Self { connection, put_if_newer: Script::new(include_str!("put_if_newer.lua")), time_to_live })
    }

    /// Whether the server answers.
    pub async fn ping(&self) -> Result<(), CacheError> {
        Ok(redis::cmd("PING").exec_async(&mut self.connection.clone()).await?)
    }

    /// The values held for `ids`, in their order; what is no value of ours counts as not held.
    pub async fn get(&self, ids: &[ProductId]) -> Result<Vec<Option<Entry>>, CacheError> {
        let mut pipeline = Pipeline::with_capacity(ids.len());
        // One key of another type is no reason to do without the others.
        pipeline.ignore_errors();
        for id in ids {
            pipeline.get(Entry::key(*id));
        }
        let values: Vec<RedisResult<Option<Vec<u8>>>> = pipeline.query_async(&mut self.connection.clone()).await?;
        Ok(values.into_iter().map(|value| Entry::decode(&Bytes::from(value.ok()??)).ok()).collect())
    }

    /// Puts entries that were read from a database, each unless a newer one is held; how many were written.
    pub async fn fill(&self, entries: &[(ProductId, Entry)]) -> Result<usize, CacheError> {
        self.put(entries, false).await
    }

    /// Brings entries that are held up to date and writes nothing for others; how many were written.
    pub async fn refresh(&self, entries: &[(ProductId, Entry)]) -> Result<usize, CacheError> {
        self.put(entries, true).await
    }

    async fn put(&self, entries: &[(ProductId, Entry)], only_held: bool) -> Result<usize, CacheError> {
        if entries.is_empty() {
            return Ok(0);
        }
        let mut connection = self.connection.clone();
        let written: RedisResult<Vec<u8>> = self.put_pipeline(entries, only_held).query_async(&mut connection).await;
        let written = match written {
            Err(error) if error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript) => {
                self.put_if_newer.load_async(&mut connection).await?;
                self.put_pipeline(entries, only_held).query_async(&mut connection).await?
            }
            other => other?,
        };
        Ok(written.into_iter().map(usize::from).sum())
    }

    fn put_pipeline(&self, entries: &[(ProductId, Entry)], only_held: bool) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(entries.len());
        for (id, entry) in entries {
            pipeline
                .cmd("EVALSHA")
                .arg(self.put_if_newer.get_hash())
                .arg(1)
                .arg(Entry::key(*id))
                .arg(&entry.encode()[..])
                .arg(self.jittered_ttl_ms(*id))
                .arg(i32::from(only_held));
        }
        pipeline
    }

    /// The page that is held under a key.
    pub async fn page(&self, key: PageKey) -> Result<Option<Bytes>, CacheError> {
        let mut pipeline = Pipeline::with_capacity(1);
        // A key of another type holds no page.
        pipeline.ignore_errors().get(page_key(key));
        let [value]: [RedisResult<Option<Vec<u8>>>; 1] = pipeline.query_async(&mut self.connection.clone()).await?;
        Ok(value.ok().flatten().map(Bytes::from))
    }

    /// Holds a page in the place of whatever is there: it is not trusted, and the last one read is the newest but for a race.
    pub async fn put_page(&self, key: PageKey, page: &[u8]) -> Result<(), CacheError> {
        let mut command = redis::cmd("SET");
        command.arg(page_key(key)).arg(page).arg("PX").arg(PAGE_TTL_MS);
        Ok(command.exec_async(&mut self.connection.clone()).await?)
    }

    /// The time to live, up to a tenth shorter by id, so that entries filled together do not expire together.
    fn jittered_ttl_ms(&self, id: ProductId) -> u64 {
        let ttl_ms = u64::try_from(self.time_to_live.as_millis()).unwrap_or(u64::MAX).max(1);
        // Knuth's multiplicative hash spreads neighbouring ids.
        let spread = id.get().unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        ttl_ms - (ttl_ms / 10).saturating_mul(spread) / u64::from(u32::MAX)
    }
}

fn page_key(key: PageKey) -> String {
    format!("freshet:page:{{{:032x}}}", u128::from_be_bytes(key))
}
