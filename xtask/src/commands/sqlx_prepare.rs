//! `sqlx-prepare`: what Postgres says about every checked query, for builds without a database.

use std::process::Command;

use anyhow::Result;
use xtask::scratch::Scratch;
use xtask::servers::Postgres;
use xtask::{interrupt, ports};

use super::cargo;
use super::packages;
use super::progress::Progress;
use super::tools;

pub(crate) fn run() -> Result<()> {
    interrupt::install()?;
    let progress = Progress::start();
    packages::install_missing(&progress)?;
    tools::install_missing(&progress)?;
    let scratch = Scratch::new("sqlx-prepare")?;
    let postgres = Postgres::start(&scratch.path().join("primary"), ports::free(1)[0])?;
    cargo::run(&mut migrate(&postgres.url()))?;
    cargo::run(&mut prepare(&postgres.url(), false))
}

/// By the tool, not by `freshet-write migrate`: that cannot be built before its queries are prepared.
pub(super) fn migrate(url: &str) -> Command {
    cargo::cargo(&["sqlx", "migrate", "run", "--source", "migrations", "--database-url", url])
}

/// Writes `.sqlx`, or compares it with the code.
pub(super) fn prepare(url: &str, is_check: bool) -> Command {
    let mut prepare = cargo::cargo(&["sqlx", "prepare", "--workspace", "--database-url", url]);
    if is_check {
        prepare.arg("--check");
    }
    prepare.args(["--", "--all-targets"]).env("SQLX_OFFLINE", "false");
    prepare
}
