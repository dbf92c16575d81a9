//! What holds below HTTP: timeouts of connections and ports that are taken.

use std::time::Duration;

use axum::Router;
use bootstrap::{Bound, Endpoints};
use hyper_util::rt::{TokioExecutor, TokioIo};
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
async fn a_client_that_says_nothing_or_half_a_preface_is_cut_off() {
    let service = start(Router::new(), &["--header-timeout-ms", "100"]).await;
    for said in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
        let mut silent = TcpStream::connect(service.address).await.unwrap();
        silent.write_all(said).await.unwrap();
        let read = timeout(Duration::from_secs(5), silent.read(&mut [0; 64])).await;
        assert!(matches!(read.expect("it is closed"), Ok(0) | Err(_)), "{said:?}");
    }
}

#[tokio::test]
async fn one_port_speaks_both_protocols() {
    let service = start(Router::new().route("/", axum::routing::get(async || "x")), &[]).await;
    let stream = TcpStream::connect(service.address).await.unwrap();
    let (mut http2, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}/", service.address)).body(String::new()).unwrap();
    let answer = http2.send_request(request).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (http::StatusCode::OK, http::Version::HTTP_2));
    assert_eq!(service.public.get("/").await.unwrap().status, http::StatusCode::OK);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = std::net::TcpListener::bind(any_port()).unwrap();
    let address = taken.local_addr().unwrap();
    let error = Bound::bind(Endpoints { public: None, ops_listen: address }).await.err().unwrap();
    let text = format!("{error:#}");
    assert!(text.contains(&address.to_string()) && text.contains("in use"), "{text}");
}
