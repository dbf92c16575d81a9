//! The real servers that Freshet runs on, each started in a directory of its own on a given loopback port.
//!
//! Each module describes its server as a [`Launch`](crate::process::Launch); the stack keeps those in its state, and
//! tests use the guards [`Postgres`], [`Redis`] and [`Nats`], which stop their server when dropped.

mod nats;
pub mod nginx;
pub mod postgres;
mod probe;
mod redis;

use std::path::Path;

pub use nats::{Nats, launch as nats, url as nats_url};
pub use postgres::Postgres;
pub use probe::{Answer, Probe, http_get};
pub use redis::{Redis, launch as redis, url as redis_url};

/// Whether this program runs as root, who may install packages but not run Postgres.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The Debian packages whose programs are not found.
pub fn missing_packages() -> Vec<&'static str> {
    let has = |program: &str| {
        let path = std::env::var("PATH").unwrap_or_default();
        path.split(':').chain(["/usr/sbin"]).any(|folder| Path::new(folder).join(program).is_file())
    };
    let mut missing = Vec::new();
    if postgres::programs().is_err() {
        missing.push("postgresql");
    }
    for (program, package) in [("redis-server", "redis-server"), ("nats-server", "nats-server"), ("nginx", "nginx")] {
        if !has(program) {
            missing.push(package);
        }
    }
    missing
}
