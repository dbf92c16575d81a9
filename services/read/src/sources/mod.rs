//! Where a read goes when no cache answers: the replicas that keep up, then the primary within a budget.

mod budget;
mod server;
mod watch;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use events::{Epoch, Position};
use freshness::{Cut, Database, Judgement, Requirement};
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use budget::Budget;
use server::{Kind, Server};
pub(crate) use watch::{CHECK, watch};

use crate::error::{ReadError, Refusal};
use crate::measures;

/// Reads past every cache that run at a time: half of this node's connections to the primary.
const NO_CACHE_PLACES: usize = 2;
/// Questions to the primary for one read: what it answers can become old on its way here, by a change or by a new epoch.
const PRIMARY_ASKS_MAX: usize = 3;
/// Longest wait for one of these places: slow searches may hold both.
const PLACE_WAIT_MAX: Duration = Duration::from_secs(1);

/// Which kind of database an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Replica,
    Primary,
}

impl Source {
    /// The word in metrics and in `Cache-Status`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Replica => "replica",
            Self::Primary => "primary",
        }
    }
}

/// What a query found, and what vouches for it.
#[derive(Clone, Debug)]
pub(crate) struct Sourced<T> {
    pub(crate) value: T,
    /// As the query itself saw it, in its own snapshot.
    pub(crate) epoch: Epoch,
    /// Whether the source is a primary that has made this epoch since it was started.
    pub(crate) vouches: bool,
    /// *R*: read on the query's connection, before the query.
    pub(crate) read_at: Position,
    pub(crate) source: Source,
    /// Of the primary: the failovers that may have lost writes.
    pub(crate) cuts: Vec<Cut>,
}

impl<T> Sourced<T> {
    /// What was found, and what vouches for it.
    pub(crate) fn split(self) -> (T, Sourced<()>) {
        let Self { value, epoch, vouches, read_at, source, cuts } = self;
        (value, Sourced { value: (), epoch, vouches, read_at, source, cuts })
    }

    /// Whether the source had what the tokens name before it was asked, whatever it was asked.
    pub(crate) fn includes(&self, including: &Requirement) -> Result<(), Refusal> {
        if including.may_be_lost(&self.cuts) {
            return Err(Refusal::MayBeLost);
        }
        let database = match self.source {
            Source::Replica => Database::Replica,
            Source::Primary => Database::Primary,
        };
        match self.source {
            _ if including.is_met_by_database(database, self.epoch, self.read_at) => Ok(()),
            Source::Replica => Err(Refusal::Unmet),
            Source::Primary => match including.judge_by_primary(self.epoch, self.vouches, self.read_at) {
                Judgement::Met => Ok(()),
                Judgement::Elsewhere => Err(Refusal::Unmet),
                Judgement::Forged => Err(Refusal::Forged),
            },
        }
    }
}

/// A query and what it needs to know: it selects its value and the epoch in one statement, or in one snapshot.
///
/// A plain function, and its future boxed: a closure's would borrow what the compiler cannot show to be `Send`.
pub(crate) type Query<A, T> = for<'q> fn(&'q mut PgConnection, &'q A) -> BoxFuture<'q, Result<(Epoch, T), sqlx::Error>>;

/// What a query asks of a database, and so what it means when it runs into the statement's timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A few rows by their keys: the server is sick, and the next one is asked.
    Lookup,
    /// As much as the client's words match: it would take as long elsewhere, least of all is it for the primary.
    Search,
}

/// Where a query may be answered.
#[derive(Debug)]
pub(crate) enum Way {
    /// By the first replica whose answer may be served, or the primary.
    Nearest,
    /// By the primary alone, in one of the places for that.
    Primary { _place: OwnedSemaphorePermit },
}

/// The budgets of the primary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadsPerSecond {
    pub(crate) primary: NonZeroU32,
    pub(crate) no_cache: NonZeroU32,
}

/// Every database that this node may ask.
#[derive(Debug)]
pub(crate) struct Sources {
    replicas: Vec<Arc<Server>>,
    primary: Option<Arc<Server>>,
    budget: Budget,
    /// Of reads that clients want past every cache, apart, so that they leave the primary to whoever has no other way.
    no_cache_budget: Budget,
    no_cache_places: Arc<Semaphore>,
    /// Counts reads, so that replicas take turns.
    turn: AtomicUsize,
}

impl Sources {
    /// Names the databases; each is connected to when it is first asked.
    pub(crate) fn new(
        replicas: &[PgConnectOptions],
        primary: Option<&PgConnectOptions>,
        reads_per_second: ReadsPerSecond,
    ) -> Self {
        let server = |kind, options: &PgConnectOptions| Arc::new(Server::new(kind, options.clone()));
        let replicas = replicas.iter().enumerate();
        Self {
            replicas: replicas.map(|(number, options)| server(Kind::Replica { number }, options)).collect(),
            primary: primary.map(|options| server(Kind::Primary, options)),
            budget: Budget::new(reads_per_second.primary),
            no_cache_budget: Budget::new(reads_per_second.no_cache),
            no_cache_places: Arc::new(Semaphore::new(NO_CACHE_PLACES)),
            turn: AtomicUsize::new(0),
        }
    }

    /// The way of a query whose answer must not come from a cache or a replica, or of any other.
    ///
    /// # Errors
    /// There is no primary, or too many queries want it.
    pub(crate) async fn way(&self, no_cache: bool) -> Result<Way, ReadError> {
        if !no_cache {
            return Ok(Way::Nearest);
        }
        self.primary.as_ref().ok_or(ReadError::Away(None))?;
        let place = timeout(PLACE_WAIT_MAX, Arc::clone(&self.no_cache_places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(ReadError::PastOverBudget(PLACE_WAIT_MAX))?;
        self.no_cache_budget.take().map_err(ReadError::PastOverBudget)?;
        Ok(Way::Primary { _place: place })
    }

    /// Runs `query` on one replica after the other, then on the primary, until `admit` takes its answer; or only there.
    ///
    /// # Errors
    /// No database could be asked, the primary's budget is spent, or not even the primary's answers were admitted.
    pub(crate) async fn read<A: ?Sized, T>(
        &self,
        way: &Way,
        work: Work,
        query: Query<A, T>,
        argument: &A,
        admit: impl Fn(&Sourced<T>) -> Result<(), Refusal>,
    ) -> Result<Sourced<T>, ReadError> {
        let judge = |answer: &Sourced<T>| {
            admit(answer).inspect_err(|refusal| {
                if let Refusal::Old(rejection) = refusal {
                    measures::rejected(answer.source.word(), *rejection);
                }
            })
        };
        let replicas = if matches!(way, Way::Nearest) { self.replicas.len() } else { 0 };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut is_for_token = false;
        for step in 0..replicas {
            let replica = &self.replicas[turn.wrapping_add(step) % self.replicas.len()];
            if !replica.is_usable() {
                continue;
            }
            match replica.ask(query, argument).await {
                Ok(answer) => match judge(&answer) {
                    Ok(()) => return Ok(answer),
                    Err(refusal) => is_for_token |= matches!(refusal, Refusal::Unmet),
                },
                Err(error) if work == Work::Search && is_timed_out(&error) => return Err(ReadError::TooMuch),
                Err(error) => tracing::warn!(%error, server = %replica, "source_failed"),
            }
        }
        // Asked even if it was away when it was last looked at: after its restart the replicas lack its new epoch, and
        // nobody else has an answer.
        let primary = self.primary.as_ref().ok_or(ReadError::Away(None))?;
        for ask in 0..PRIMARY_ASKS_MAX {
            match way {
                Way::Nearest if is_for_token => self.budget.take_for_token().map_err(ReadError::OverBudget)?,
                Way::Nearest => self.budget.take().map_err(ReadError::OverBudget)?,
                // The first was paid for with its place.
                Way::Primary { .. } if ask == 0 => {}
                Way::Primary { .. } => self.no_cache_budget.take().map_err(ReadError::PastOverBudget)?,
            }
            let answer = primary.ask(query, argument).await.map_err(|error| match work {
                Work::Search if is_timed_out(&error) => ReadError::TooMuch,
                _ => ReadError::from_primary(error),
            })?;
            match judge(&answer) {
                Ok(()) => return Ok(answer),
                Err(Refusal::Old(_)) => {}
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(ReadError::Behind)
    }

    fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.replicas.iter().chain(&self.primary)
    }
}

/// Whether the statement ran into its timeout.
fn is_timed_out(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(cause) if cause.code().as_deref() == Some("57014"))
}
