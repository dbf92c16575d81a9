//! What an operator sees of the relay.

use std::process::{Child, Command, Stdio};

use client::Client;
use sqlx::{ConnectOptions, PgPool};
use testkit::holds;

use crate::shop::Shop;

/// Killed when the test ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program on the shop's servers, and where it tells its metrics.
fn start(shop: &Shop) -> (Program, Client) {
    let ports = xtask::ports::free(2);
    let program = Command::new(env!("CARGO_BIN_EXE_freshet-write"))
        .args(["--listen", &format!("127.0.0.1:{}", ports[0]), "--ops-listen", &format!("127.0.0.1:{}", ports[1])])
        .env("FRESHET_DATABASE_URL", shop.db.connect_options().to_url_lossy().as_str())
        .env("FRESHET_NATS_URL", shop.nats.url())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (Program(program), Client::new(&format!("http://127.0.0.1:{}", ports[1])).unwrap())
}

/// A value among the metrics; `None` until it is there.
async fn value(ops: &Client, name: &str) -> Option<f64> {
    let metrics = ops.get("/metrics").await.ok()?;
    let metrics = String::from_utf8(metrics.body.to_vec()).ok()?;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_published_is_timed_and_what_waits_is_seen_also_while_the_stream_is_away(db: PgPool) {
    let mut shop = Shop::open(db).await;
    let (_program, ops) = start(&shop);
    shop.commit(1, 1).await;

    holds(async || value(&ops, "freshet_publish_lag_seconds_count").await == Some(1.0)).await;
    holds(async || value(&ops, "freshet_outbox_pending").await == Some(0.0)).await;
    assert_eq!(value(&ops, "freshet_outbox_oldest_age_seconds").await, Some(0.0));
    assert_eq!(value(&ops, "freshet_relay_events_total").await, Some(1.0));
    assert!(value(&ops, "freshet_relay_turn_duration_seconds_count").await > Some(0.0));
    assert_eq!(value(&ops, "freshet_relay_failures_total{reason=\"overtaken\"}").await, Some(0.0));

    shop.nats.kill9();
    shop.commit(1, 2).await;
    shop.commit(1, 3).await;

    holds(async || value(&ops, "freshet_outbox_pending").await == Some(2.0)).await;
    holds(async || value(&ops, "freshet_outbox_oldest_age_seconds").await > Some(1.5)).await;
    holds(async || value(&ops, "freshet_relay_failures_total{reason=\"stream\"}").await > Some(0.0)).await;
}
