//! The entry point of `freshet-projector`.

use clap::Parser;
use freshet_projector::config::Settings;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    freshet_projector::run(Settings::parse()).await
}
