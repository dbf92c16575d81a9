//! `cargo xtask`: runs Freshet from a clone, and tests it.

mod bench;
mod commands;

use std::process::ExitCode;

use clap::Parser;
use commands::Command;

/// Runs Freshet from a clone, and tests it
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
