//! A database with products, and the programs that read it.

use std::process::{Command, Output, Stdio};

use catalog::{Product, ProductId};
use sqlx::PgConnection;
use testkit::{Databases, databases};

use crate::stage::{EPOCH, Stage};

/// The tables, in the epoch of the [`Stage`], made on this start of the server.
pub(crate) struct Catalogue {
    pub(crate) databases: Databases,
    primary: PgConnection,
}

impl Catalogue {
    pub(crate) async fn new() -> Self {
        let databases = databases().await;
        let mut primary = databases.primary().await;
        sqlx::query(
            "update epoch
             set number = $1,
                 server_started_at = greatest(
                     pg_postmaster_start_time(),
                     (select backend_start from pg_stat_activity where backend_type = 'checkpointer')
                 )",
        )
        .bind(i64::try_from(EPOCH.0).unwrap())
        .execute(&mut primary)
        .await
        .unwrap();
        Self { databases, primary }
    }

    /// Stores the product as it is, in place of an older one.
    pub(crate) async fn put(&mut self, product: &Product) {
        sqlx::query(
            "insert into products (id, sku, name, price, currency, stock, version, created_at, updated_at)
             overriding system value
             values ($1, $2, $3, $4 * 100, 'USD', $5, $4, $6, $7)
             on conflict (id) do update set price = excluded.price, version = excluded.version",
        )
        .bind(product.id.get())
        .bind(product.sku.to_string())
        .bind(product.name.to_string())
        .bind(product.version.get())
        .bind(i32::try_from(i64::from(product.stock)).unwrap())
        .bind(product.created_at)
        .bind(product.updated_at)
        .execute(&mut self.primary)
        .await
        .unwrap();
    }

    pub(crate) async fn version(&mut self, id: ProductId) -> i64 {
        sqlx::query_scalar("select version from products where id = $1")
            .bind(id.get())
            .fetch_one(&mut self.primary)
            .await
            .unwrap()
    }

    /// Deletes the product, which leaves a tombstone of the next version.
    pub(crate) async fn delete(&mut self, product: &Product) {
        sqlx::query("update products set version = version + 1, deleted_at = now() where id = $1")
            .bind(product.id.get())
            .execute(&mut self.primary)
            .await
            .unwrap();
    }
}

/// The program, told where the servers of the stage are.
pub(crate) fn program(stage: &Stage, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_freshet-projector"));
    program
        .args(arguments)
        .env("FRESHET_REDIS_URL", stage.redis.url())
        .env("FRESHET_NATS_URL", stage.nats.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    program
}

/// Runs it to its end.
pub(crate) async fn run(mut program: Command) -> Output {
    tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
