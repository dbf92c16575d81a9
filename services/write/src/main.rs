//! The process `freshet-write`.

use std::sync::Arc;

use anyhow::Result;
use bootstrap::{Background, Endpoints, Health, init_telemetry, public_layers};
use clap::Parser;
use freshet_write::app::App;
use freshet_write::config::{Command, Settings};
use freshet_write::relay::{Relay, watch_outbox};
use freshet_write::{counts, database, http, upkeep};

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::parse();
    match settings.command {
        Command::Serve => serve(&settings).await,
        Command::Migrate => database::migrate(&settings.database_url, settings.history_months).await,
        Command::Openapi => {
            println!("{:#}", http::document());
            Ok(())
        }
    }
}

async fn serve(settings: &Settings) -> Result<()> {
    init_telemetry("freshet-write", &settings.serve)?;
    counts::describe();
    let health = Health::new(&[database::CHECK]);
    let app = App::new(database::pool(&settings.database_url, settings.database_connections_max));
    let mut background = Background::default();
    background.spawn("outbox watch", watch_outbox(app.primary.pool.clone(), background.stop()));
    background.spawn("database watch", database::watch(app.primary.pool.clone(), health.clone(), background.stop()));
    background.spawn("upkeep", upkeep::run(app.primary.pool.clone(), settings.history_months, background.stop()));
    let relay = Relay {
        database: settings.database_url.clone(),
        nats: settings.nats.connect("freshet-write").await?,
        committed: Arc::clone(&app.primary.committed),
    };
    background.spawn("relay", relay.run(background.stop()));
    let endpoints = Endpoints {
        public: Some((settings.listen, public_layers(http::router(app), &settings.serve, &health))),
        ops_listen: settings.ops_listen,
    };
    bootstrap::serve(&settings.serve, endpoints, health, background).await
}
