//! The process `freshet-write`.

use std::sync::Arc;

use anyhow::{Context, Result};
use bootstrap::{Background, Endpoints, Health, init_telemetry, public_layers};
use clap::Parser;
use freshet_write::app::App;
use freshet_write::config::{Cli, Command, KeySettings, KeysCommand, Settings};
use freshet_write::keys::{NewKey, issue};
use freshet_write::relay::{Relay, watch_outbox};
use freshet_write::{counts, database, http, upkeep};
use sqlx::ConnectOptions;

#[tokio::main]
async fn main() -> Result<()> {
    match Cli::parse().into_command() {
        Command::Serve(settings) => serve(&settings).await,
        Command::Migrate(settings) => {
            database::migrate(&settings.database.database_url, settings.history.history_months).await
        }
        Command::Openapi => {
            println!("{:#}", http::document());
            Ok(())
        }
        Command::Keys(KeysCommand::Create(key)) => create_key(key).await,
    }
}

async fn serve(settings: &Settings) -> Result<()> {
    init_telemetry("freshet-write", &settings.serve)?;
    counts::describe();
    let health = Health::new(&[database::CHECK]);
    let nats = settings.nats.connect("freshet-write").await?;
    let database_url = &settings.database.database_url;
    let app = App::new(database::pool(database_url, settings.database_connections_max), Some(nats.clone()));
    let mut background = Background::default();
    background.spawn("outbox watch", watch_outbox(app.primary.pool.clone(), background.stop()));
    background.spawn("database watch", database::watch(app.primary.pool.clone(), health.clone(), background.stop()));
    let months = settings.history.history_months;
    background.spawn("upkeep", upkeep::run(app.primary.pool.clone(), months, background.stop()));
    background.spawn("revoked keys", app.keys.clone().hear(background.stop()));
    background.spawn("used keys", app.keys.clone().note_uses(background.stop()));
    let relay = Relay { database: database_url.clone(), nats, committed: Arc::clone(&app.primary.committed) };
    background.spawn("relay", relay.run(background.stop()));
    let endpoints = Endpoints {
        public: Some((settings.listen, public_layers(http::router(app), &settings.serve, &health))),
        ops_listen: settings.ops_listen,
    };
    bootstrap::serve(&settings.serve, endpoints, health, background).await
}

async fn create_key(settings: KeySettings) -> Result<()> {
    let KeySettings { database, name, scopes, expires_at } = settings;
    let new = NewKey::new(&name, scopes.into_iter().collect(), expires_at).map_err(anyhow::Error::msg)?;
    let mut connection = database.database_url.connect().await.context("the database cannot be reached")?;
    let issued = issue(&mut connection, new).await.context("the key cannot be stored")?;
    eprintln!("the key {} of {:?} is not shown again:", issued.id, issued.name);
    println!("{}", issued.key);
    Ok(())
}
