//! Redis as a pure cache: nothing on disk, the least used entries go first.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;

use super::{Probe, program};
use crate::process::{Launch, Process, Stop};

/// Room for the hot part of a million products at about 1 KiB each.
const MEMORY_MAX: &str = "512mb";

/// A Redis that is killed when dropped.
#[derive(Debug)]
pub struct Redis {
    pub process: Process,
    port: u16,
}

impl Redis {
    /// Starts one in `dir` and waits until it answers.
    pub fn start(dir: &Path, port: u16) -> Result<Self> {
        Ok(Self { process: Process::start(launch("redis", dir, port)?)?, port })
    }

    pub fn url(&self) -> String {
        url(self.port)
    }

    pub fn stop(&mut self) {
        self.process.stop();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill9();
    }
}

/// How a Redis is started in `dir`, which is made if it is missing.
pub fn launch(name: &str, dir: &Path, port: u16) -> Result<Launch> {
    fs::create_dir_all(dir)?;
    let args = [
        ["--port", &port.to_string()],
        ["--bind", "127.0.0.1"],
        ["--dir", &dir.display().to_string()],
        ["--daemonize", "no"],
        // No persistence: what Redis holds is only ever a copy, and a restored copy would have to be proven fresh again.
        ["--save", ""],
        ["--appendonly", "no"],
        ["--maxmemory", MEMORY_MAX],
        ["--maxmemory-policy", "allkeys-lfu"],
        // Large values are freed beside the one thread that answers.
        ["--lazyfree-lazy-eviction", "yes"],
        ["--lazyfree-lazy-expire", "yes"],
    ];
    Ok(Launch {
        name: name.to_owned(),
        program: program("redis-server"),
        args: args.concat().into_iter().map(str::to_owned).collect(),
        env: BTreeMap::new(),
        log: dir.join("redis.log"),
        stop: Stop::Term,
        ready: Probe::Redis { port },
    })
}

/// The URL of a server on `port`.
pub fn url(port: u16) -> String {
    format!("redis://127.0.0.1:{port}")
}
