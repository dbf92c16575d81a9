//! Shows the state of a node in the metrics, also while nothing arrives.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{App, measures};

/// Twice a second: no scrape sees an age that is more than half a second too small.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Samples until `stop`.
pub(crate) async fn sample(app: Arc<App>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(SAMPLE_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {
                measures::sampled(&app.log.sample());
                app.pages.sample();
            }
        }
    }
}
