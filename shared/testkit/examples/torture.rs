//! Tortures a whole stack for minutes: `cargo xtask torture` builds and runs it.

use std::hash::{BuildHasher, RandomState};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use testkit::torture::{self, Plan};
use xtask::interrupt;

/// From here on a run must also have asked much of the system.
const LONG_MINUTES: u64 = 10;
const READS_MIN: u64 = 1_000_000;
/// Of each kind.
const FAULTS_MIN: u32 = 5;

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
    let shortfalls = if minutes >= LONG_MINUTES { report.shortfalls(READS_MIN, FAULTS_MIN) } else { Vec::new() };
    for shortfall in &shortfalls {
        println!("too little: {shortfall}");
    }
    Ok(if report.is_good() && shortfalls.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
