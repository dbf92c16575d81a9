//! `freshet-projector rebuild`: every live product from a replica into Redis, while events flow.
//!
//! An entry goes through the same script as every other, so it never replaces a newer one. What changed since a product was
//! read, and found nothing in Redis to refresh, is applied from the stream at the end.

mod catch_up;
mod fill;
mod progress;
mod source;

use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::config::RebuildSettings;
use crate::signals::stop_on_signal;
pub use catch_up::catch_up;
pub use fill::Rebuild;
use progress::Progress;
pub use source::Source;

/// It was stopped before all products were read.
const STOPPED: u8 = 1;
/// It could not go on.
const FAILED: u8 = 2;

/// Runs to the end, and says how it went on standard error.
pub async fn run(settings: &RebuildSettings) -> ExitCode {
    match rebuild(settings).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(STOPPED),
        Err(error) => {
            eprintln!("freshet-projector: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Whether all products were read.
async fn rebuild(settings: &RebuildSettings) -> anyhow::Result<bool> {
    let stop = stop_on_signal(FAILED)?;
    let source = Source::open(&settings.replica_urls, settings.database_url.as_ref()).await?;
    eprintln!("reading from {source}");
    let mut rebuild = Rebuild::begin(source, settings.cache.open()?, batch_size(settings)).await?;
    let progress = Progress::new(rebuild.last_id());
    let begun = Instant::now();
    let mut is_complete = false;
    while !stop.is_cancelled() {
        let Some(batch) = rebuild.read_next().await? else {
            is_complete = true;
            break;
        };
        rebuild.fill(&batch).await?;
        progress.show(&rebuild, begun);
        let due = begun + due_after(rebuild.read(), settings.products_per_second_max);
        stop.run_until_cancelled(sleep_until(due)).await;
    }
    progress.finish();
    // Also when it was stopped: what has been filled is brought up to date.
    match settings.nats.connect("freshet-projector").await {
        Ok(nats) => report_catch_up(catch_up(&nats, &rebuild).await),
        Err(error) => report_catch_up(Err(error)),
    }
    eprintln!("{}", progress::summary(&rebuild, begun.elapsed(), is_complete));
    Ok(is_complete)
}

fn report_catch_up(caught_up: anyhow::Result<usize>) {
    match caught_up {
        Ok(0) => {}
        Ok(refreshed) => eprintln!("{refreshed} entries brought up to date from the stream"),
        // Readers check every entry, so nothing old is served; it is only of no use.
        Err(error) => eprintln!("entries that changed meanwhile may be of no use: {error:#}"),
    }
}

/// At most a second's worth, so that a low rate is kept evenly.
fn batch_size(settings: &RebuildSettings) -> usize {
    match usize::try_from(settings.products_per_second_max) {
        Ok(0) | Err(_) => fill::BATCH_MAX,
        Ok(rate) => rate.min(fill::BATCH_MAX),
    }
}

/// When as many products may have been read.
fn due_after(products: u64, per_second_max: u32) -> Duration {
    if per_second_max == 0 {
        return Duration::ZERO;
    }
    Duration::from_micros(products.saturating_mul(1_000_000) / u64::from(per_second_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_rate_is_kept_from_the_first_product_on() {
        assert_eq!(due_after(500, 0), Duration::ZERO);
        assert_eq!(due_after(500, 1_000), Duration::from_millis(500));
        assert_eq!(due_after(3, 2), Duration::from_millis(1_500));
    }
}
