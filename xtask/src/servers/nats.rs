//! NATS with JetStream, configured by `nats/nats.conf`.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::{Probe, program};
use crate::process::{Launch, Process, Stop};
use crate::repository;

/// A NATS server that is killed when dropped.
#[derive(Debug)]
pub struct Nats {
    pub process: Process,
    port: u16,
}

impl Nats {
    /// Starts one whose streams are stored in `dir`, and waits until it greets.
    pub fn start(dir: &Path, port: u16) -> Result<Self> {
        Ok(Self { process: Process::start(launch("nats", dir, port)?)?, port })
    }

    pub fn url(&self) -> String {
        url(self.port)
    }

    pub fn stop(&mut self) {
        self.process.stop();
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.process.kill9();
    }
}

/// How a NATS server is started in `dir`, which is made if it is missing.
pub fn launch(name: &str, dir: &Path, port: u16) -> Result<Launch> {
    let store = dir.join("store");
    fs::create_dir_all(&store)?;
    let config = repository::file("nats/nats.conf");
    Ok(Launch {
        name: name.to_owned(),
        program: program("nats-server"),
        args: vec!["--config".to_owned(), config.display().to_string()],
        env: [
            ("NATS_PORT".to_owned(), port.to_string()),
            // Quoted, because the server parses the variable like a value in its file.
            ("NATS_STORE_DIR".to_owned(), format!("\"{}\"", store.display())),
        ]
        .into(),
        log: dir.join("nats.log"),
        // SIGTERM makes it exit with 1; SIGINT is its orderly stop.
        stop: Stop::Interrupt,
        ready: Probe::Nats { port },
    })
}

/// The URL of a server on `port`.
pub fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}
