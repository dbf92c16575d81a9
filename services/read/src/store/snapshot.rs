//! One snapshot of a database, looked at by several statements that together take no longer than one may.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, Postgres, Transaction};

/// Longest statement, and longest snapshot: what a client asks for holds no server for longer.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// The server is told what is left when it has become so much less: to tell it is a round trip.
const STEP: Duration = Duration::from_millis(50);

/// A transaction that only reads.
pub(super) struct Snapshot<'c> {
    transaction: Transaction<'c, Postgres>,
    ends: Instant,
    /// What the server knows to be left.
    told: Duration,
}

impl<'c> Snapshot<'c> {
    pub(super) async fn begin(connection: &'c mut PgConnection) -> Result<Self, sqlx::Error> {
        let ends = Instant::now() + STATEMENT_TIMEOUT.saturating_sub(STEP);
        let transaction = connection.begin_with("begin isolation level repeatable read, read only").await?;
        Ok(Self { transaction, ends, told: STATEMENT_TIMEOUT })
    }

    /// The connection, for one more statement, which is cancelled when the snapshot has to end.
    pub(super) async fn next(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        // Not 0, which would be for ever.
        let left = self.ends.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        if self.told.saturating_sub(left) > STEP {
            sqlx::query("select set_config('statement_timeout', $1, true)")
                .bind(left.as_millis().to_string())
                .execute(&mut *self.transaction)
                .await?;
            self.told = left;
        }
        Ok(&mut self.transaction)
    }

    pub(super) async fn end(self) -> Result<(), sqlx::Error> {
        self.transaction.commit().await
    }
}

#[cfg(test)]
mod tests {
    use testkit::databases;

    use super::*;

    #[tokio::test]
    async fn statements_that_are_each_short_enough_are_cancelled_when_together_they_are_not() {
        let databases = databases().await;
        let mut connection = databases.primary().await;
        let mut snapshot = Snapshot::begin(&mut connection).await.expect("a snapshot");
        let nap = "select pg_sleep (1.5)";
        sqlx::query(nap).execute(snapshot.next().await.expect("time is left")).await.expect("it is short enough");
        let second = sqlx::query(nap).execute(snapshot.next().await.expect("time is left")).await;
        let code =
            second.expect_err("it is too much").into_database_error().and_then(|it| Some(it.code()?.into_owned()));
        assert_eq!(code.as_deref(), Some("57014"));
    }
}
