//! `freshet-read`: serves the catalogue's reads, or prints its `OpenAPI` document.

use bootstrap::{Endpoints, init_telemetry, serve};
use clap::{CommandFactory, Parser, Subcommand};
use freshet_read::app::Node;
use freshet_read::config::ReadSettings;
use freshet_read::http;

/// Reads of the Freshet catalogue: get, list and search.
#[derive(Parser)]
#[command(name = "freshet-read", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: ReadSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until SIGTERM; also the default
    Serve(Box<ReadSettings>),
    /// Prints the `OpenAPI` document
    Openapi,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let settings = match cli.command {
        Some(Command::Openapi) => {
            println!("{:#}", http::document());
            return Ok(());
        }
        Some(Command::Serve(settings)) => *settings,
        None => cli.settings,
    };
    if let Err(error) = settings.check() {
        Cli::command().error(clap::error::ErrorKind::MissingRequiredArgument, error).exit();
    }
    init_telemetry("freshet-read", &settings.serve)?;
    let node = Node::start(&settings).await?;
    let endpoints = Endpoints { public: Some((settings.listen, node.framed)), ops_listen: settings.ops_listen };
    serve(&settings.serve, endpoints, node.health, node.background).await
}
