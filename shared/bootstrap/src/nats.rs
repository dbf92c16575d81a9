//! The connection to NATS, the same in every service.

use std::time::Duration;

use anyhow::Context;
use async_nats::{Client, ConnectOptions, ServerAddr};

/// A server that does not take a connection within this is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Soon enough that a restart of the server costs little more than itself, seldom enough not to press it.
const RECONNECT_DELAY: Duration = Duration::from_millis(250);
/// A connection whose server does not answer two pings this far apart is given up: a network that fails in silence.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Where the stream of changes is (`#[command(flatten)]` it).
#[derive(clap::Args, Clone, Debug)]
pub struct NatsSettings {
    /// The NATS servers that hold the stream of changes, separated by commas
    #[arg(
        long,
        env = "FRESHET_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL,...",
        value_delimiter = ',',
        hide_env_values = true
    )]
    pub nats_url: Vec<ServerAddr>,
}

impl NatsSettings {
    /// Connects in the background and for ever, so that a service can be started before NATS.
    ///
    /// # Errors
    /// No address can be used at all.
    pub async fn connect(&self, service: &str) -> anyhow::Result<Client> {
        ConnectOptions::new()
            .name(service)
            .retry_on_initial_connect()
            .connection_timeout(CONNECT_TIMEOUT)
            .ping_interval(PING_INTERVAL)
            .reconnect_delay_callback(|_| RECONNECT_DELAY)
            .connect(&self.nats_url[..])
            .await
            .context("no NATS address can be used")
    }
}
