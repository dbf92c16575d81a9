//! The limit that hot reads are measured against: axum answering every product with one body and fixed headers.
//!
//! No metrics, ids, limits or look-ups. Its worker threads are tokio's default, as the service's are
//! (`TOKIO_WORKER_THREADS` sets both).

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt;
use bytes::Bytes;
use clap::Parser;
use tokio::net::TcpListener;

/// Answers `GET /products/{id}` with what a real answer held.
#[derive(Parser)]
struct Cli {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,

    /// File with the body of a real answer
    #[arg(long, value_name = "FILE")]
    body: PathBuf,

    /// A header of a real answer, without `Content-Length` and `Date`, which the server makes; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Clone)]
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let body = std::fs::read(&cli.body).with_context(|| format!("cannot read {}", cli.body.display()))?;
    let answer = Answer { headers: cli.headers.into_iter().collect(), body: body.into() };
    let router = Router::new().route("/products/{id}", get(product)).with_state(answer);
    let listener = TcpListener::bind(cli.listen).await?.tap_io(|stream| {
        // As the service does; an error shows in the reading that follows.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn product(State(answer): State<Answer>) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.headers_mut() = answer.headers;
    response
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header has the form NAME: VALUE")?;
    let name = name.trim().parse::<HeaderName>().map_err(|fault| fault.to_string())?;
    Ok((name, value.trim().parse::<HeaderValue>().map_err(|fault| fault.to_string())?))
}
