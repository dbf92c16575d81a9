//! Servers of one test's own, which can be killed and started again.

use std::path::Path;

use xtask::scratch::Scratch;
use xtask::servers::{Nats, Redis};

/// A server in a folder of its own; killed, and the folder removed, when dropped.
#[derive(Debug)]
pub struct Server<S> {
    running: Option<S>,
    start: fn(&Path, u16) -> anyhow::Result<S>,
    url: String,
    port: u16,
    // Dropped after the server that lives in it.
    folder: Scratch,
}

pub type RedisServer = Server<Redis>;
pub type NatsServer = Server<Nats>;

/// A Redis that holds nothing.
pub fn redis() -> RedisServer {
    Server::start("redis", Redis::start, Redis::url)
}

/// A NATS server with JetStream and no stream.
pub fn nats() -> NatsServer {
    Server::start("nats", Nats::start, Nats::url)
}

impl<S> Server<S> {
    fn start(name: &str, start: fn(&Path, u16) -> anyhow::Result<S>, url: fn(&S) -> String) -> Self {
        let folder = Scratch::new(name).expect("the temporary folder can be written");
        let port = xtask::ports::free(1)[0];
        let running = start(folder.path(), port).expect("the server starts");
        Self { url: url(&running), running: Some(running), start, port, folder }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Kills it as a power failure would; what it had on disk stays.
    pub fn kill9(&mut self) {
        self.running = None;
    }

    /// Starts it again on the same port, with what it had on disk.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&mut self) {
        self.running = Some((self.start)(self.folder.path(), self.port).expect("the server starts again"));
    }
}
