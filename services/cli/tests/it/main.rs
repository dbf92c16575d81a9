//! The command as it is typed, against stand-ins that answer as the services do.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod export;
mod import;
mod keys;

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;

async fn serving(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
