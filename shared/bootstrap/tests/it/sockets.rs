//! What holds below HTTP: timeouts of connections and ports that are taken.

use std::time::Duration;

use axum::Router;
use bootstrap::{Bound, Endpoints};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{any_port, start};

#[tokio::test]
async fn a_client_that_never_finishes_its_headers_is_cut_off() {
    let service = start(Router::new(), &["--header-timeout-ms", "100"]).await;
    let mut half_sent = TcpStream::connect(service.address).await.unwrap();
    half_sent.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let read = timeout(Duration::from_secs(5), half_sent.read(&mut [0; 64])).await;
    assert_eq!(read.expect("it is closed").unwrap(), 0);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind(any_port()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = Bound::bind(Endpoints { public: None, ops_listen: address }).await.err().unwrap();
    let text = format!("{error:#}");
    assert!(text.contains(&address.to_string()) && text.contains("in use"), "{text}");
}
