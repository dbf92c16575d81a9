//! An import over a real connection: results come back while the request is still being sent.

use std::net::SocketAddr;

use axum::body::Bytes;
use bootstrap::{Background, Bound, Endpoints, Health};
use client::Client;
use futures_util::StreamExt;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::shop::{Shop, results, settings, token};

#[sqlx::test(migrations = "../../migrations")]
async fn each_line_is_answered_while_the_request_is_still_open(db: PgPool) {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let shop = Shop::new(db);
    let key = shop.key().await.to_owned();
    let endpoints = Endpoints { public: Some((any_port, shop.router)), ops_listen: any_port };
    let bound = Bound::bind(endpoints).await.unwrap();
    let url = format!("http://{}", bound.public_address().unwrap());
    let (stop, signals) = mpsc::channel(1);
    let mut serve = settings().serve;
    serve.drain_delay_ms = 0;
    let server = tokio::spawn(async move { bound.run(&serve, Health::new(&[]), Background::default(), signals).await });

    let (sender, lines) = mpsc::unbounded_channel();
    let client = Client::new(&url).unwrap().with_key(&key).unwrap();
    let answer = client.stream_ndjson("/products", UnboundedReceiverStream::new(lines)).await.unwrap();
    assert_eq!(answer.status, 200);
    let mut answered = answer.lines();
    for at in 1..=3 {
        let line = format!("{{\"sku\":\"S-{at}\",\"name\":\"Lamp\",\"price\":\"1\"}}\n");
        sender.send(Bytes::from(line)).unwrap();
        let mut result = answered.next().await.unwrap().unwrap().to_vec();
        result.push(b'\n');
        assert_eq!(results(&result)[0]["line"], at);
    }
    drop(sender);
    token(&serde_json::from_slice(&answered.next().await.unwrap().unwrap()).unwrap());
    assert!(answered.next().await.is_none());
    drop(stop);
    server.await.unwrap().unwrap();
}
