//! How it is seen, from outside, that a server is ready.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::postgres;

/// A server on loopback that takes longer for one line is not ready.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A question whose right answer means ready.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    Postgres {
        port: u16,
    },
    Redis {
        port: u16,
    },
    Nats {
        port: u16,
    },
    /// Something listens.
    Listening {
        port: u16,
    },
    /// `GET /readyz` answers 200.
    Ready {
        port: u16,
    },
}

impl Probe {
    /// Asks once.
    pub fn is_met(self) -> bool {
        match self {
            Self::Postgres { port } => postgres::is_ready(port),
            Self::Redis { port } => first_line(port, "PING\r\n").is_ok_and(|line| line.starts_with("+PONG")),
            // The greeting comes only after JetStream has recovered its streams.
            Self::Nats { port } => first_line(port, "").is_ok_and(|line| line.starts_with("INFO")),
            Self::Listening { port } => connect(port).is_ok(),
            Self::Ready { port } => http_get(port, "/readyz").is_ok_and(|answer| answer.status == 200),
        }
    }
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// `GET path` on a loopback port.
pub fn http_get(port: u16, path: &str) -> Result<Answer> {
    http_get_with(port, path, "")
}

/// The same with `headers`, whole lines, each with its end; as HTTP/1.0, whose answers end with the connection and are
/// never chunked.
pub fn http_get_with(port: u16, path: &str, headers: &str) -> Result<Answer> {
    let mut stream = connect(port)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its headers")?;
    let status = head.split(' ').nth(1).context("an answer without a status")?;
    Ok(Answer { status: status.parse()?, body: body.to_owned() })
}

fn first_line(port: u16, request: &str) -> Result<String> {
    let mut stream = connect(port)?;
    stream.write_all(request.as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), ANSWER_MAX)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    stream.set_write_timeout(Some(ANSWER_MAX))?;
    Ok(stream)
}
