//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Far longer than anything waited for takes, also on a busy machine; a test that gets here has failed.
const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// Asks until there is an answer, and returns it.
///
/// # Panics
/// There is none after 30 s.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "the condition did not hold within {DEADLINE:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Asks until it is so.
///
/// # Panics
/// It is not after 30 s.
pub async fn holds(mut ask: impl AsyncFnMut() -> bool) {
    eventually(async || ask().await.then_some(())).await;
}
