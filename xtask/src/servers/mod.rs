//! The real servers that Freshet runs on, each started in a directory of its own on a given loopback port.
//!
//! Each module describes its server as a [`Launch`](crate::process::Launch); the stack keeps those in its state, and
//! tests use the guards [`Postgres`], [`Redis`] and [`Nats`], which stop their server when dropped.

mod locale;
mod nats;
pub mod nginx;
pub mod postgres;
mod probe;
mod redis;

use std::env;
use std::path::PathBuf;

pub use locale::american_english;
pub use nats::{Nats, launch as nats, url as nats_url};
pub use postgres::Postgres;
pub use probe::{Answer, Probe, http_get, http_get_with};
pub use redis::{Redis, launch as redis, url as redis_url};

/// Whether this program runs as root, who may install packages but not run Postgres.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The Debian packages whose programs or files are not found: those of the servers, and `more` that are named like their
/// programs.
pub fn missing_packages(more: &[&'static str]) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if postgres::programs().is_err() {
        missing.push("postgresql");
    }
    if !locale::is_installed() {
        missing.push("locales");
    }
    // Each is named like its program.
    let named = ["redis-server", "nats-server", "nginx"];
    missing.extend(named.iter().chain(more).filter(|name| find(name).is_none()));
    missing.sort_unstable();
    missing.dedup();
    missing
}

/// The program to run for `name`; if it is nowhere, starting it says so.
fn program(name: &str) -> PathBuf {
    find(name).unwrap_or_else(|| name.into())
}

/// Debian has some servers in a folder that is not in an ordinary user's search path.
fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into()]).map(|folder| folder.join(program)).find(|file| file.is_file())
}
