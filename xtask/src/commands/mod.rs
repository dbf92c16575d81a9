//! The commands, one file each.

mod add_read_node;
mod bench;
mod cargo;
mod down;
mod openapi;
mod packages;
mod progress;
mod sqlx_prepare;
mod status;
mod test;
mod tools;
mod torture;
mod up;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use xtask::repository;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Install what is missing, build, start everything and load demo products
    Up(up::Up),
    /// Stop the stack; its data and ports stay for the next `up`
    Down(down::Down),
    /// Show every process of the stack; fails if one has died
    Status(status::Status),
    /// Add a read node to the running stack
    AddReadNode(add_read_node::AddReadNode),
    /// Install what is missing, start private servers and run every check and test
    Test(test::Test),
    /// Break the parts of a whole stack under load, and judge what its clients saw
    Torture(torture::Torture),
    /// Measure speed and memory against what is known to be fast, and write docs/benchmarks.md
    Bench(bench::Bench),
    /// Write the committed `OpenAPI` documents from the code
    Openapi(openapi::Openapi),
    /// Write the committed `.sqlx` from the code, against a private Postgres
    SqlxPrepare,
}

impl Command {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::Up(up) => up.run(),
            Self::Down(down) => down.run(),
            Self::Status(status) => status.run(),
            Self::AddReadNode(add) => add.run(),
            Self::Test(test) => test.run(),
            Self::Torture(torture) => torture.run(),
            Self::Bench(bench) => bench.run(),
            Self::Openapi(openapi) => openapi.run(),
            Self::SqlxPrepare => sqlx_prepare::run(),
        }
    }
}

#[derive(Args)]
struct StateDir {
    /// Where the stack keeps its data and state
    #[arg(long, value_name = "DIR", hide = true)]
    state_dir: Option<PathBuf>,
}

impl StateDir {
    fn path(&self) -> PathBuf {
        self.state_dir.clone().unwrap_or_else(|| repository::file(".stack"))
    }
}
