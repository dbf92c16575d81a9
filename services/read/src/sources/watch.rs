//! Looks at every server all the time, so that no reader has to find out that one is away or behind.

use std::sync::Arc;
use std::time::Duration;

use bootstrap::{Background, Health};
use events::{Epoch, Position};
use sqlx::{Connection, PgConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Sources;
use super::server::{Kind, Server};
use crate::log::SharedLog;
use crate::{measures, store};

/// The health check that says whether any database can be asked.
pub(crate) const CHECK: &str = "postgres";
/// Between two looks: short beside any tolerated lag, and two cheap statements.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// A server that takes longer for a look is as good as away.
const LOOK_MAX: Duration = Duration::from_secs(1);

/// Starts a task for each server.
pub(crate) fn watch(sources: &Arc<Sources>, log: &Arc<SharedLog>, health: &Health, background: &mut Background) {
    for server in sources.servers() {
        let watcher = Watcher {
            server: Arc::clone(server),
            sources: Arc::clone(sources),
            log: Arc::clone(log),
            health: health.clone(),
        };
        background.spawn("watch a database", watcher.run(background.stop()));
    }
}

struct Watcher {
    server: Arc<Server>,
    sources: Arc<Sources>,
    log: Arc<SharedLog>,
    health: Health,
}

impl Watcher {
    async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        // A connection of its own: a busy pool is no reason to leave the server out.
        let mut connection = None;
        let looks = async {
            loop {
                let looked = timeout(LOOK_MAX, look(&self.server, &mut connection)).await;
                let is_usable = if let Ok(Ok((epoch, position))) = looked {
                    self.keeps_up(epoch, position)
                } else {
                    connection = None;
                    false
                };
                self.tell(is_usable);
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            () = looks => Ok(()),
        }
    }

    /// A replica of an older epoch follows another server than the log's, or has not heard of the new one yet.
    ///
    /// While no recent heartbeat is known, lag cannot be told, and to be reached is enough.
    fn keeps_up(&self, epoch: Epoch, position: Position) -> bool {
        let (known_epoch, required) = self.log.required_of_replicas();
        match self.server.kind {
            Kind::Primary => true,
            Kind::Replica { .. } => epoch >= known_epoch && required.is_none_or(|required| position >= required),
        }
    }

    fn tell(&self, is_usable: bool) {
        if self.server.set_usable(is_usable) != is_usable {
            tracing::info!(server = %self.server, is_usable, "source_changed");
        }
        if let Kind::Replica { number } = self.server.kind {
            measures::replica_usable(number, is_usable);
        }
        let is_any_usable = self.sources.servers().any(|server| server.is_usable());
        self.health.set(CHECK, if is_any_usable { Ok(()) } else { Err("no database can be asked".to_owned()) });
    }
}

async fn look(server: &Server, connection: &mut Option<PgConnection>) -> Result<(Epoch, Position), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(PgConnection::connect_with(&server.options).await?),
    };
    let position = store::position(connection).await?;
    Ok((store::epoch(connection).await?, position))
}
