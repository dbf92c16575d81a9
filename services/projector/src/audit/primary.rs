//! The primary, asked over one connection, one question at a time.

use std::time::Duration;

use catalog::ProductId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};

use super::heard::Heard;
use super::record::Reading;
use crate::store;

/// Longest run of a statement: they look up one row.
const STATEMENT_TIMEOUT_MS: &str = "1000";
/// Longest wait for a whole reading, connection included.
const READING_MAX: Duration = Duration::from_secs(2);
/// After a failure the primary is left alone for this long.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Why there is no reading.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrimaryError {
    #[error("the primary did not answer")]
    Database(#[from] sqlx::Error),
    #[error("the primary did not answer in time")]
    Late,
    #[error("the primary failed a moment ago")]
    Resting,
    #[error("the database named as primary is a replica")]
    IsReplica,
}

pub(super) struct Primary {
    options: PgConnectOptions,
    session: Mutex<Session>,
}

#[derive(Default)]
struct Session {
    connection: Option<PgConnection>,
    /// Counts the connections made.
    number: u64,
    failed: Option<Instant>,
}

impl Primary {
    /// Connects when it is first asked.
    pub(super) fn new(options: PgConnectOptions) -> Self {
        let options = options
            .application_name("freshet-projector-audit")
            .options([("statement_timeout", STATEMENT_TIMEOUT_MS), ("default_transaction_read_only", "on")]);
        Self { options, session: Mutex::default() }
    }

    /// The product as it is now.
    pub(super) async fn read(&self, id: ProductId, heard: &Heard) -> Result<Reading, PrimaryError> {
        let mut session = self.session.lock().await;
        let reading = match timeout(READING_MAX, self.read_on(&mut session, id, heard)).await {
            Ok(reading) => reading,
            Err(_) => Err(PrimaryError::Late),
        };
        rest_after(&mut session, reading)
    }

    /// The id of some product; `None` if there is none.
    pub(super) async fn any_id(&self) -> Result<Option<ProductId>, PrimaryError> {
        let mut session = self.session.lock().await;
        let id = timeout(READING_MAX, async {
            let connection = self.connected(&mut session).await?;
            Ok(store::any_id(connection).await?)
        });
        let id = id.await.unwrap_or(Err(PrimaryError::Late));
        rest_after(&mut session, id)
    }

    async fn read_on(&self, session: &mut Session, id: ProductId, heard: &Heard) -> Result<Reading, PrimaryError> {
        self.connected(session).await?;
        let (number, began) = (session.number, heard.now());
        let connection = self.connected(session).await?;
        let row = store::row(connection, id).await?;
        // Before the clock is read: a moment announced by then that is above it shows that the clock stepped back.
        let announced = heard.timeline().announced(heard.now());
        let standing = store::standing(connection).await?;
        if standing.is_replica {
            return Err(PrimaryError::IsReplica);
        }
        Ok(Reading {
            connection: number,
            epoch: row.epoch,
            is_settled: row.is_settled,
            version: row.version,
            product: row.product,
            t: standing.t,
            announced,
            oldest_wait: standing.oldest_wait,
            began,
            ended: heard.now(),
        })
    }

    async fn connected<'s>(&self, session: &'s mut Session) -> Result<&'s mut PgConnection, PrimaryError> {
        if session.failed.is_some_and(|failed| failed.elapsed() < RETRY_DELAY) {
            return Err(PrimaryError::Resting);
        }
        if session.connection.is_none() {
            session.connection = Some(self.options.connect().await?);
            session.number += 1;
        }
        Ok(session.connection.as_mut().expect("it was just made if there was none"))
    }
}

/// A connection that failed or was left in the middle of a statement is of no more use.
fn rest_after<T>(session: &mut MutexGuard<'_, Session>, answer: Result<T, PrimaryError>) -> Result<T, PrimaryError> {
    match &answer {
        Ok(_) => session.failed = None,
        Err(PrimaryError::Resting) => {}
        Err(_) => {
            session.connection = None;
            session.failed = Some(Instant::now());
        }
    }
    answer
}
