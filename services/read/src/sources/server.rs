//! One Postgres server: its pool, and one query on one of its connections.

use std::fmt;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio::time::timeout;

use super::{Query, Source, Sourced};
use crate::{measures, store};

/// Longest wait for an answer, repetition included: a server that does not even report the statement's timeout hangs,
/// and what is left of the caller's time is for the next source.
const ANSWER_MAX: Duration = Duration::from_millis(2_500);
/// Longest wait for a connection; the next source may have one.
const ACQUIRE_MAX: Duration = Duration::from_secs(1);
/// Idle connections are given back after this.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// Enough to keep every core of a replica busy; more would only queue there.
const REPLICA_CONNECTIONS_MAX: u32 = 16;
/// The primary is there for writes.
const PRIMARY_CONNECTIONS_MAX: u32 = 4;

/// What a server is to this node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// With its place in the setting, as metrics name it.
    Replica {
        number: usize,
    },
    Primary,
}

/// A server and its pool.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) kind: Kind,
    pub(super) options: PgConnectOptions,
    pool: PgPool,
    /// Set by the task that watches it.
    is_usable: AtomicBool,
}

impl Server {
    pub(super) fn new(kind: Kind, options: PgConnectOptions) -> Self {
        let statement_timeout = store::STATEMENT_TIMEOUT.as_millis().to_string();
        let options = options.application_name("freshet-read").options([
            ("statement_timeout", &statement_timeout[..]),
            ("default_transaction_read_only", "on"),
            // To compile a statement takes longer than any of ours gains by it.
            ("jit", "off"),
            // A worker is a new process, which meets each page of the buffers for the first time: that takes longer than to
            // read it. What it would save belongs to other reads.
            ("max_parallel_workers_per_gather", "0"),
            // To ask for a page ahead of reading it is to look it up twice: a twentieth of a search whose pages are in memory.
            ("effective_io_concurrency", "0"),
        ]);
        let connections_max = match kind {
            Kind::Replica { .. } => REPLICA_CONNECTIONS_MAX,
            Kind::Primary => PRIMARY_CONNECTIONS_MAX,
        };
        let pool = PgPoolOptions::new()
            .max_connections(connections_max)
            .acquire_timeout(ACQUIRE_MAX)
            .idle_timeout(IDLE_MAX)
            // A dead connection is found out by the query, which is then repeated; a ping would cost every read.
            .test_before_acquire(false)
            .after_connect(|connection, _| Box::pin(store::note_server_start(connection)))
            .connect_lazy_with(options.clone());
        Self { kind, options, pool, is_usable: AtomicBool::new(false) }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.is_usable.load(Ordering::Relaxed)
    }

    /// Sets whether it may be asked; what it was before.
    pub(super) fn set_usable(&self, is_usable: bool) -> bool {
        self.is_usable.swap(is_usable, Ordering::Relaxed)
    }

    /// Runs `query`, again for each connection that turns out to be dead: after a restart of the server all of them are.
    pub(super) async fn ask<A: ?Sized, T>(&self, query: Query<A, T>, argument: &A) -> Result<Sourced<T>, sqlx::Error> {
        let ask = async {
            for _ in 0..self.pool.num_idle().max(1) {
                match self.ask_once(query, argument).await {
                    Err(error) if is_of_dead_connection(&error) => {}
                    answer => return answer,
                }
            }
            self.ask_once(query, argument).await
        };
        timeout(ANSWER_MAX, ask).await.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into())))
    }

    async fn ask_once<A: ?Sized, T>(&self, query: Query<A, T>, argument: &A) -> Result<Sourced<T>, sqlx::Error> {
        let source = self.source();
        measures::source_query(source);
        let mut connection = self.pool.acquire().await?;
        // In a statement of its own, before the query's snapshot: every change below it is visible to the query.
        let (read_at, vouches) = match source {
            Source::Primary => store::vouched_position(&mut connection).await?,
            Source::Replica => (store::position(&mut connection).await?, false),
        };
        let (epoch, value) = query(&mut connection, argument).await?;
        // After the query, so that none of its epoch is missing. What a replica lacks of them, it lacks of the epoch too.
        let cuts = match source {
            Source::Primary => store::cuts(&mut connection).await?,
            Source::Replica => Vec::new(),
        };
        Ok(Sourced { value, epoch, vouches, read_at, source, cuts })
    }

    const fn source(&self) -> Source {
        match self.kind {
            Kind::Replica { .. } => Source::Replica,
            Kind::Primary => Source::Primary,
        }
    }
}

/// Whether the connection broke, or the server has said meanwhile that it ends it: on command, or after a crash.
fn is_of_dead_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(cause) => matches!(cause.code().as_deref(), Some("57P01" | "57P02")),
        _ => false,
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.source().word(), self.options.get_host(), self.options.get_port())
    }
}
