//! The program as it is run.

use std::process::{Child, Command, Stdio};

use client::Client;
use events::Position;
use testkit::holds;

use crate::stage::{Stage, lamp};

/// Killed if the test fails first.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_program_gets_ready_tells_its_metrics_and_ends_cleanly_on_sigterm() {
    let mut stage = Stage::set().await;
    stage.hold(&lamp(1, 1), 10).await;
    let port = xtask::ports::free(1)[0];
    let mut program = Program(
        Command::new(env!("CARGO_BIN_EXE_freshet-projector"))
            .args(["serve", "--ops-listen", &format!("127.0.0.1:{port}")])
            .env("FRESHET_REDIS_URL", stage.redis.url())
            .env("FRESHET_NATS_URL", stage.nats.url())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let ops = Client::new(&format!("http://127.0.0.1:{port}")).unwrap();
    let answers = async |path, status: u16| ops.get(path).await.is_ok_and(|answer| answer.status == status);
    holds(async || answers("/readyz", 200).await).await;

    stage.publisher.changed(Some(&lamp(1, 1)), &lamp(1, 2), Position(20)).await;
    holds(async || stage.held_version(lamp(1, 1).id).await == Some(2)).await;
    for line in [
        "freshet_projector_events_total{kind=\"updated\"} 1",
        "freshet_projector_refreshed_total 1",
        "freshet_projection_lag_seconds_count 1",
        "freshet_dead_letters_total{reason=\"malformed\"} 0",
        "freshet_projector_pending 0",
    ] {
        holds(async || {
            let metrics = ops.get("/metrics").await.unwrap();
            String::from_utf8_lossy(&metrics.body).lines().any(|shown| shown == line)
        })
        .await;
    }

    stage.redis.kill9();
    holds(async || answers("/readyz", 503).await).await;
    let pid = program.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let mut ended = None;
    holds(async || {
        ended = program.0.try_wait().unwrap();
        ended.is_some()
    })
    .await;
    assert!(ended.unwrap().success(), "{ended:?}");
}
