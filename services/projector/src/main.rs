//! The entry point of `freshet-projector`.

use std::process::ExitCode;

use clap::Parser;
use freshet_projector::config::{Cli, Command};
use freshet_projector::{audit, rebuild};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().into_command() {
        Command::Serve(settings) => freshet_projector::run(*settings).await.map(|()| ExitCode::SUCCESS),
        Command::Rebuild(settings) => Ok(rebuild::run(&settings).await),
        Command::Audit(settings) => Ok(audit::run(&settings).await),
    }
}
