//! The clean end: what a load balancer, a running request, a background task and an impatient operator see.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use bootstrap::Background;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::{Service, start, start_with};

const DEADLINE: Duration = Duration::from_secs(10);

async fn end_of(ended: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    timeout(DEADLINE, ended).await.expect("it ends").unwrap()
}

async fn until_draining(service: &Service) {
    let draining =
        async { while service.ops.get("/readyz").await.unwrap().status != StatusCode::SERVICE_UNAVAILABLE {} };
    timeout(DEADLINE, draining).await.expect("it drains");
}

/// `/quick` answers; `/gated` says that it runs, and answers once the gate opens.
fn gated() -> (Router, Arc<Notify>, Arc<Notify>) {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (says, waits) = (begun.clone(), gate.clone());
    let handler = move || async move {
        says.notify_one();
        waits.notified().await;
        "done"
    };
    (Router::new().route("/quick", get(|| async { "ok" })).route("/gated", get(handler)), begun, gate)
}

#[tokio::test]
async fn a_running_request_completes_after_readyz_and_the_listener_have_gone() {
    let (router, begun, gate) = gated();
    let mut background = Background::default();
    let stop = background.stop();
    background.spawn("worker", {
        let stop = stop.clone();
        async move {
            stop.cancelled().await;
            Ok(())
        }
    });
    let service = start_with(router, &["--drain-delay-ms", "300"], background).await;
    let running = {
        let client = service.public.clone();
        tokio::spawn(async move { client.get("/gated").await })
    };
    begun.notified().await;

    service.signals.send(()).await.unwrap();
    until_draining(&service).await;
    let quick = service.public.get("/quick").await.unwrap();
    assert_eq!((quick.status, quick.header("connection")), (StatusCode::OK, "close"), "served during the delay");

    let refused = async { while TcpStream::connect(service.address).await.is_ok() {} };
    timeout(DEADLINE, refused).await.expect("the listener closes");
    assert!(!stop.is_cancelled(), "background work goes on while a request runs");
    assert_eq!(service.ops.get("/livez").await.unwrap().status, StatusCode::OK);
    let report = service.ops.get("/readyz?verbose").await.unwrap();
    assert_eq!(report.body, "[-]draining\nnot ready\n");

    gate.notify_one();
    assert_eq!(running.await.unwrap().unwrap().body, "done");
    end_of(service.ended).await.unwrap();
    assert!(stop.is_cancelled());
}

#[tokio::test]
async fn a_request_that_outlasts_the_grace_is_cut_and_the_process_ends() {
    let (router, begun, _gate) = gated();
    let service = start(router, &["--drain-delay-ms", "0", "--drain-grace-ms", "100"]).await;
    let running = {
        let client = service.public.clone();
        tokio::spawn(async move { client.get("/gated").await })
    };
    begun.notified().await;
    service.signals.send(()).await.unwrap();
    end_of(service.ended).await.unwrap();
    assert!(running.await.unwrap().is_err());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let service = start(Router::new(), &["--drain-delay-ms", "600000"]).await;
    service.signals.send(()).await.unwrap();
    until_draining(&service).await;
    service.signals.send(()).await.unwrap();
    assert!(end_of(service.ended).await.unwrap_err().to_string().contains("second signal"));
}

#[tokio::test]
async fn a_background_task_that_fails_or_panics_ends_the_process_with_an_error() {
    let mut background = Background::default();
    background.spawn("relay", async { Err(anyhow!("the session is gone")) });
    let failed = end_of(start_with(Router::new(), &[], background).await.ended).await.unwrap_err();
    assert_eq!(format!("{failed:#}"), "background task `relay` failed: the session is gone");

    let mut background = Background::default();
    background.spawn("relay", async { panic!("a bug") });
    let panicked = end_of(start_with(Router::new(), &[], background).await.ended).await.unwrap_err();
    assert!(format!("{panicked:#}").contains("panicked"));
}

#[tokio::test]
async fn background_work_that_does_not_stop_is_an_error_after_the_grace() {
    let mut background = Background::default();
    background.spawn("stuck", std::future::pending());
    let service = start_with(Router::new(), &["--drain-delay-ms", "0", "--drain-grace-ms", "100"], background).await;
    service.signals.send(()).await.unwrap();
    assert!(end_of(service.ended).await.unwrap_err().to_string().contains("did not stop"));
}
