//! The tier of Redis, for products and pages: asked while it answers, left alone for a moment when it does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache::{Cache, CacheError, Entry, PageKey};
use catalog::ProductId;

/// After a failure one caller in this time tries Redis again; the others do not wait for its timeout.
const PROBE_INTERVAL: Duration = Duration::from_millis(200);

/// Redis behind a breaker.
pub(crate) struct Redis {
    cache: Cache,
    begun: Instant,
    /// Milliseconds since `begun`; 0 while Redis answers.
    probe_at_ms: AtomicU64,
}

impl Redis {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache, begun: Instant::now(), probe_at_ms: AtomicU64::new(0) }
    }

    /// What is held for `ids`, in their order; `None` if Redis does not answer.
    pub(crate) async fn get(&self, ids: &[ProductId]) -> Option<Vec<Option<Entry>>> {
        self.may_be_asked().then_some(())?;
        self.judge(self.cache.get(ids).await)
    }

    /// Puts entries read from a database; whether all were written.
    pub(crate) async fn fill(&self, entries: &[(ProductId, Entry)]) -> bool {
        self.may_be_asked() && self.judge(self.cache.fill(entries).await) == Some(entries.len())
    }

    /// The page that is held under a key, if any; `None` if Redis does not answer.
    pub(crate) async fn get_page(&self, key: PageKey) -> Option<Option<Bytes>> {
        self.may_be_asked().then_some(())?;
        self.judge(self.cache.page(key).await)
    }

    /// Puts a page; whether it was written.
    pub(crate) async fn put_page(&self, key: PageKey, page: &[u8]) -> bool {
        self.may_be_asked() && self.judge(self.cache.put_page(key, page).await).is_some()
    }

    fn may_be_asked(&self) -> bool {
        let probe_at = self.probe_at_ms.load(Ordering::Relaxed);
        let now = self.now_ms();
        // Whoever moves the time on is the one who probes.
        probe_at == 0
            || now >= probe_at
                && self
                    .probe_at_ms
                    .compare_exchange(probe_at, now + probe_interval_ms(), Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok()
    }

    fn judge<T>(&self, answer: Result<T, CacheError>) -> Option<T> {
        let (answer, probe_at) = match answer {
            Ok(answer) => (Some(answer), 0),
            Err(error) => {
                tracing::debug!(%error, "redis_failed");
                (None, self.now_ms() + probe_interval_ms())
            }
        };
        if (self.probe_at_ms.swap(probe_at, Ordering::Relaxed) == 0) != (probe_at == 0) {
            tracing::warn!(is_answering = probe_at == 0, "redis_changed");
        }
        answer
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn probe_interval_ms() -> u64 {
    u64::try_from(PROBE_INTERVAL.as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("probe_at_ms", &self.probe_at_ms).finish_non_exhaustive()
    }
}
