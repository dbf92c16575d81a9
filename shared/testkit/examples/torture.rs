//! Tortures a whole stack for minutes: `cargo xtask torture` builds and runs it.

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use testkit::torture::{self, Plan};
use xtask::interrupt;

/// Tortures a whole stack, and fails if a promise was broken
#[derive(Parser)]
struct Arguments {
    /// How long faults are done
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: u64,
    /// Repeats the order of an earlier run's faults
    #[arg(long)]
    seed: Option<u64>,
    /// Reads at most, by all clients together
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    reads_per_second: u32,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Arguments { minutes, seed, reads_per_second } = Arguments::parse();
    interrupt::install()?;
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one("torture") % 1_000_000);
    let plan = Plan { duration: Duration::from_mins(minutes), seed, reads_per_second };
    let report = torture::run(plan).await?;
    println!("{report}");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
