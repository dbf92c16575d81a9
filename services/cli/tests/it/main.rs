//! The command as it is typed, against stand-ins that answer as the services do.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod export;
mod history;
mod import;
mod keys;
mod patch;
mod revert;
mod shop;

use std::net::SocketAddr;
use std::process::Output;

use axum::Router;
use tokio::net::TcpListener;
use tokio::process::Command;

async fn serving(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// What the command prints when it is called with these arguments.
async fn run(arguments: &[&str], url: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_freshet")).args(arguments).env("FRESHET_URL", url).output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
