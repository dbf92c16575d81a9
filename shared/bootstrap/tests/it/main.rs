//! The whole frame of a service on real sockets.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod answers;
mod docs;
mod drain;
mod shortcuts;
mod sockets;

use std::net::SocketAddr;

use axum::Router;
use bootstrap::{Background, Bound, Endpoints, Framed, Health, ServeSettings, public_layers};
use clap::Parser;
use client::Client;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    serve: ServeSettings,
}

pub(crate) fn settings(flags: &[&str]) -> ServeSettings {
    Cli::parse_from([&["service"], flags].concat()).serve
}

pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A service running in this process.
pub(crate) struct Service {
    pub(crate) public: Client,
    pub(crate) ops: Client,
    pub(crate) address: SocketAddr,
    pub(crate) signals: mpsc::Sender<()>,
    pub(crate) ended: JoinHandle<anyhow::Result<()>>,
}

pub(crate) async fn start(router: Router, flags: &[&str]) -> Service {
    start_with(router, flags, Background::default()).await
}

pub(crate) async fn start_with(router: Router, flags: &[&str], background: Background) -> Service {
    start_framed(flags, background, |settings, health| public_layers(router, settings, health)).await
}

pub(crate) async fn start_framed(
    flags: &[&str],
    background: Background,
    framed: impl FnOnce(&ServeSettings, &Health) -> Framed,
) -> Service {
    let settings = settings(flags);
    let health = Health::new(&[]);
    let framed = framed(&settings, &health);
    let endpoints = Endpoints { public: Some((any_port(), framed)), ops_listen: any_port() };
    let bound = Bound::bind(endpoints).await.unwrap();
    let (address, ops) = (bound.public_address().unwrap(), bound.ops_address().unwrap());
    let (signals, receiver) = mpsc::channel(2);
    let ended = tokio::spawn(async move { bound.run(&settings, health, background, receiver).await });
    Service {
        public: Client::new(&format!("http://{address}")).unwrap(),
        ops: Client::new(&format!("http://{ops}")).unwrap(),
        address,
        signals,
        ended,
    }
}
