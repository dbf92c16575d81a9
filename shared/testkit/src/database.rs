//! A migrated database of a test's own on the primary and its streaming replica that the whole run shares.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::condition::holds;

/// One database, as the primary and as the replica have it.
#[derive(Clone, Debug)]
pub struct Databases {
    pub primary_url: String,
    pub replica_url: String,
}

/// Makes a database, applies the migrations and waits until the replica has them.
///
/// # Panics
/// The servers are not there: `cargo xtask test` starts them and names them in the environment.
pub async fn databases() -> Databases {
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    let mut server = connect(&server_url("FRESHET_TEST_DATABASE_URL")).await;
    sqlx::query(AssertSqlSafe(format!("create database {name}"))).execute(&mut server).await.expect("a database");
    let databases = Databases {
        primary_url: with_database(&server_url("FRESHET_TEST_DATABASE_URL"), &name),
        replica_url: with_database(&server_url("FRESHET_TEST_REPLICA_URL"), &name),
    };
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let migrator = Migrator::new(migrations).await.expect("the migrations can be read");
    let mut primary = connect(&databases.primary_url).await;
    migrator.run(&mut primary).await.expect("the migrations apply");
    databases.replicated().await;
    databases
}

impl Databases {
    pub async fn primary(&self) -> PgConnection {
        connect(&self.primary_url).await
    }

    /// Waits until the replica has replayed everything that the primary has written.
    ///
    /// # Panics
    /// It has not after 30 s.
    pub async fn replicated(&self) {
        let lsn: i64 = sqlx::query_scalar("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
            .fetch_one(&mut self.primary().await)
            .await
            .expect("the primary answers");
        // Asked in the database that every server has: this one may not have arrived yet.
        let mut replica = connect(&server_url("FRESHET_TEST_REPLICA_URL")).await;
        holds(async || {
            sqlx::query_scalar("select (pg_last_wal_replay_lsn() - '0/0')::bigint >= $1")
                .bind(lsn)
                .fetch_one(&mut replica)
                .await
                .expect("the replica answers")
        })
        .await;
    }
}

fn server_url(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run the tests with `cargo xtask test`"))
}

fn with_database(url: &str, name: &str) -> String {
    let options: PgConnectOptions = url.parse().expect("a Postgres URL");
    options.database(name).to_url_lossy().to_string()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the server takes the connection")
}
