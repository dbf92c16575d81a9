//! The process around the step: it waits, reports, and ends cleanly.

use std::time::Duration;

use anyhow::Context;
use bootstrap::{Background, Endpoints, Health};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::audit::{self, Audit};
use crate::config::Settings;
use crate::consumer::{ACK_WAIT, BATCH_MAX};
use crate::error::{ProjectError, one_line};
use crate::measures;
use crate::projector::Projector;

/// The names in `/readyz`.
const NATS: &str = "consumer";
const REDIS: &str = "redis";

/// Between tries while something is away: a first try soon, and never more than this behind its return.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_millis(500);

/// After a step that took all there was: what comes meanwhile is fetched, written and acked together. No reader waits for
/// it, since every node hears of changes by itself and knows what in Redis is behind.
const PAUSE: Duration = Duration::from_millis(5);

/// How often Redis and the backlog are looked at.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Runs the service until a signal ends it.
///
/// # Errors
/// A setting cannot be used, the port is taken, or the end was cut short.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    bootstrap::init_telemetry("freshet-projector", &settings.serve)?;
    measures::describe();
    let nats = settings.nats.connect("freshet-projector").await?;
    let cache = settings.cache.open().context("the Redis URL cannot be used")?;
    let health = health();
    let mut background = Background::default();
    if settings.audit_samples_per_second > 0 && !settings.audited.read_urls.is_empty() {
        // Connections of its own, so that no event waits behind a sample.
        let own = (settings.cache.open()?, settings.nats.connect("freshet-projector-audit").await?);
        let audit = Audit::new(&settings.audited, own.0, own.1, audit::log)?;
        let work = audit.work(settings.audit_samples_per_second, background.stop(), false);
        background.spawn("audit", async {
            work.await;
            Ok(())
        });
    }
    let projector = Projector::new(nats, cache, ACK_WAIT);
    let work = work(projector, health.clone(), background.stop());
    background.spawn("projector", async {
        work.await;
        Ok(())
    });
    let endpoints = Endpoints { public: None, ops_listen: settings.ops_listen };
    bootstrap::serve(&settings.serve, endpoints, health, background).await
}

/// The checks of a projector, all failing until [`work`] has seen them pass.
pub fn health() -> Health {
    Health::new(&[NATS, REDIS])
}

/// Steps until `stop`, waiting after a failure; the step in hand is finished first.
pub async fn work(mut projector: Projector, health: Health, stop: CancellationToken) {
    let mut retry = RETRY_MIN;
    let mut reported: Option<Instant> = None;
    while !stop.is_cancelled() {
        let taken = projector.project_pending().await;
        if reported.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
            report(&projector, &health).await;
            reported = Some(Instant::now());
        }
        let error = match taken {
            Ok(taken) => {
                health.set(NATS, Ok(()));
                retry = RETRY_MIN;
                if taken < BATCH_MAX {
                    sleep(PAUSE).await;
                }
                continue;
            }
            Err(error) => error,
        };
        // After the report: a Redis that answers, but not to this, is not in order.
        let check = if matches!(error, ProjectError::Cache(_)) { REDIS } else { NATS };
        health.set(check, Err(one_line(&error)));
        tokio::select! {
            () = sleep(retry) => {}
            () = stop.cancelled() => {}
        }
        retry = (retry * 2).min(RETRY_MAX);
    }
    projector.release().await;
}

async fn report(projector: &Projector, health: &Health) {
    health.set(REDIS, projector.ping_cache().await.map_err(|error| one_line(&error)));
    if let Some(events) = projector.pending().await {
        measures::pending(events);
    }
}
