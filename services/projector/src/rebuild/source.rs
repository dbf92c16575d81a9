//! The database that is read: the first replica that can be used, else the primary.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use time::OffsetDateTime;
use tokio::time::timeout;

use crate::store;

/// A server that takes longer is as good as away.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// A batch is read by its keys; ten seconds is a server in trouble.
const STATEMENT_TIMEOUT_MS: &str = "10000";

/// A database, and how far it was when it was opened.
pub struct Source {
    pub(super) connection: PgConnection,
    name: String,
    /// What was committed before is visible here; `None` if that is not known.
    pub(super) shown_until: Option<OffsetDateTime>,
}

impl Source {
    /// Opens the first of `replicas` that can be used, else the primary, and says so on standard error.
    ///
    /// # Errors
    /// None can be used.
    pub async fn open(replicas: &[PgConnectOptions], primary: Option<&PgConnectOptions>) -> anyhow::Result<Self> {
        for replica in replicas {
            match Self::connect("replica", replica).await {
                Ok(source) => return Ok(source),
                Err(error) => eprintln!("{error:#}"),
            }
        }
        let Some(primary) = primary else {
            if replicas.is_empty() {
                bail!(
                    "no database is named: set --replica-urls (FRESHET_REPLICA_URLS) or --database-url (FRESHET_DATABASE_URL)"
                );
            }
            bail!("no replica can be used, and --database-url (FRESHET_DATABASE_URL) names no primary");
        };
        eprintln!("no replica {}; the primary is asked", if replicas.is_empty() { "is named" } else { "can be used" });
        Self::connect("primary", primary).await
    }

    async fn connect(kind: &str, options: &PgConnectOptions) -> anyhow::Result<Self> {
        let name = format!("{kind} {}:{}", options.get_host(), options.get_port());
        let options = options
            .clone()
            .application_name("freshet-projector")
            .options([("statement_timeout", STATEMENT_TIMEOUT_MS), ("default_transaction_read_only", "on")]);
        let open = async {
            let mut connection = options.connect().await?;
            let shown_until = store::shown_until(&mut connection).await?;
            // A server without our tables is none to read from.
            store::last_id(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, shown_until))
        };
        let opened = timeout(CONNECT_MAX, open).await.with_context(|| format!("{name} does not answer"))?;
        let (connection, shown_until) = opened.with_context(|| format!("{name} cannot be used"))?;
        Ok(Self { connection, name, shown_until })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
