//! Combines patches: those that arrive while one transaction commits share the next one.
//!
//! A lone patch does not wait, nor do patches one after the other. Under load the cost of a transaction is shared by all that
//! came since the last one began, a few milliseconds before; what that saves is left to those who make the changes visible.
//! A product that another transaction holds is not waited for here: its patches, and those that follow them, are combined
//! into transactions of their own.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{Product, ProductId, ProductPatch};
use freshness::Token;
use sqlx::PgConnection;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Transaction, decide, try_moment};
use crate::app::Primary;
use crate::counts;
use crate::database;
use crate::error::WriteError;
use crate::store::fault::Fault;
use crate::store::products;

/// Patches of one transaction: some tens of milliseconds at most.
const BATCH_MAX: usize = 256;
/// From the beginning of a transaction that several patches share to the next: shorter than most take anyway, long enough
/// for some patches under load.
const INTERVAL_MIN: Duration = Duration::from_millis(3);
/// Then the session is opened anew, as the pool's are: the address may lead to another server by now.
const SESSION_AGE_MAX: Duration = Duration::from_mins(30);
/// Patches under way: more would wait for longer than their clients do.
const WAITING_MAX: usize = 4_096;
/// Longest time for a transaction, below the requests' own limit. Postgres ends sooner what is its own fault; this is for
/// one that has vanished.
const TRANSACTION_TIME_MAX: Duration = Duration::from_secs(8);

type Outcome = Result<(Product, Token), WriteError>;

/// The way of a patch of one product into the database.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    waiting: mpsc::UnboundedSender<Waiting>,
    places: Arc<Semaphore>,
}

struct Waiting {
    id: ProductId,
    patch: ProductPatch,
    answer: oneshot::Sender<Outcome>,
}

/// What is done about a product that another transaction holds.
#[derive(Clone)]
enum Held {
    /// So this never waits for long, and one session is enough for it.
    PassOver(OwnSession),
    WaitFor,
}

impl Patches {
    /// Stores what is sent until every clone of the result is gone.
    pub(crate) fn begin(primary: Primary) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let slow = SlowLane::new(&primary);
        let own = OwnSession::default();
        tokio::spawn(async move {
            let mut next_at = Instant::now();
            while let Some(first) = receiver.recv().await {
                sleep_until(next_at).await;
                next_at = Instant::now();
                let others = std::iter::from_fn(|| receiver.try_recv().ok()).take(BATCH_MAX - 1);
                let batch: Vec<_> =
                    std::iter::once(first).chain(others).filter_map(|waiting| slow.join(waiting)).collect();
                if batch.len() > 1 {
                    next_at += INTERVAL_MIN;
                }
                for group in by_product(store_all(&primary, batch, &Held::PassOver(own.clone())).await) {
                    slow.open(primary.clone(), group);
                }
            }
        });
        Self { waiting: sender, places: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// The product after the patch; the same version as before if the patch changes nothing.
    pub(crate) async fn patch(&self, id: ProductId, patch: ProductPatch) -> Outcome {
        let _place = self.places.try_acquire().map_err(|_| WriteError::Busy)?;
        let (answer, outcome) = oneshot::channel();
        self.waiting.send(Waiting { id, patch, answer }).map_err(|_| WriteError::Lost)?;
        outcome.await.unwrap_or(Err(WriteError::Lost))
    }
}

/// A database session that is kept from one transaction to the next, and used by nobody else: no round trip is lost on giving
/// it back, the server process stays warm, and no import keeps a patch waiting. Whatever cuts a transaction off leaves none.
#[derive(Clone, Debug, Default)]
struct OwnSession(Arc<Mutex<Option<Session>>>);

#[derive(Debug)]
struct Session {
    connection: PgConnection,
    opened_at: Instant,
    used_at: Instant,
}

impl OwnSession {
    /// Whoever takes it puts it back if it is still good.
    async fn take(&self, primary: &Primary) -> sqlx::Result<Session> {
        let kept = self.kept().take();
        if let Some(mut session) = kept
            && session.opened_at.elapsed() < SESSION_AGE_MAX
            && database::is_alive(&mut session.connection, session.used_at.elapsed()).await
        {
            return Ok(session);
        }
        let now = Instant::now();
        Ok(Session { connection: primary.pool.acquire().await?.detach(), opened_at: now, used_at: now })
    }

    fn put(&self, session: Session) {
        *self.kept() = Some(Session { used_at: Instant::now(), ..session });
    }

    fn kept(&self) -> MutexGuard<'_, Option<Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The products that others held, each with a task of its own that works off its patches.
#[derive(Clone)]
struct SlowLane {
    /// What came while the task was busy; a product is here as long as its task runs.
    queues: Arc<Mutex<HashMap<ProductId, Vec<Waiting>>>>,
    /// The other half of the connections is left to whoever waits for nothing.
    connections: Arc<Semaphore>,
}

impl SlowLane {
    fn new(primary: &Primary) -> Self {
        let connections = (primary.pool.options().get_max_connections() / 2).max(1);
        Self { queues: Arc::default(), connections: Arc::new(Semaphore::new(connections as usize)) }
    }

    /// Takes the patch if its product is here.
    fn join(&self, waiting: Waiting) -> Option<Waiting> {
        match self.queues().get_mut(&waiting.id) {
            Some(queue) => {
                queue.push(waiting);
                None
            }
            None => Some(waiting),
        }
    }

    /// Begins with the patches of one product.
    fn open(&self, primary: Primary, group: Vec<Waiting>) {
        let Some(id) = group.first().map(|waiting| waiting.id) else { return };
        self.queues().insert(id, group);
        let lane = self.clone();
        tokio::spawn(async move {
            loop {
                let Ok(_connection) = lane.connections.acquire().await else { return };
                let Some(group) = lane.take(id) else { return };
                counts::held(group.len());
                store_all(&primary, group, &Held::WaitFor).await;
            }
        });
    }

    /// What has come for the product; leaves it if that is nothing.
    fn take(&self, id: ProductId) -> Option<Vec<Waiting>> {
        let mut queues = self.queues();
        let group = std::mem::take(queues.get_mut(&id)?);
        if group.is_empty() {
            queues.remove(&id);
            return None;
        }
        Some(group)
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<ProductId, Vec<Waiting>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn by_product(patches: Vec<Waiting>) -> impl Iterator<Item = Vec<Waiting>> {
    let mut groups: HashMap<ProductId, Vec<Waiting>> = HashMap::new();
    for waiting in patches {
        groups.entry(waiting.id).or_default().push(waiting);
    }
    groups.into_values()
}

/// Stores and answers; returns the patches whose products were passed over. Those that the database refuses together are
/// tried in halves, so that a bad one fails alone.
async fn store_all(primary: &Primary, batch: Vec<Waiting>, held: &Held) -> Vec<Waiting> {
    let mut passed_over = Vec::new();
    let mut runs = vec![batch];
    while let Some(mut run) = runs.pop() {
        // Nobody would hear of these any more.
        run.retain(|waiting| !waiting.answer.is_closed());
        if run.is_empty() {
            continue;
        }
        let wanted = run.iter().map(|waiting| (waiting.id, waiting.patch.clone())).collect();
        // A task of its own: a panic costs this run and no other.
        let stored = tokio::spawn(store_in_time(primary.clone(), wanted, held.clone())).await;
        match stored.unwrap_or_else(|panic| Err(lost(&panic))) {
            Ok(outcomes) => {
                for (waiting, outcome) in run.into_iter().zip(outcomes) {
                    match outcome {
                        // Whoever has gone meanwhile is not told.
                        Some(outcome) => drop(waiting.answer.send(outcome)),
                        None => passed_over.push(waiting),
                    }
                }
            }
            Err(error) if run.len() > 1 && is_undone(&error) => {
                let second = run.split_off(run.len() / 2);
                runs.extend([second, run]);
            }
            Err(error) => {
                for waiting in run {
                    drop(waiting.answer.send(Err(error.clone())));
                }
            }
        }
    }
    passed_over
}

type Outcomes = Vec<Option<Outcome>>;

/// What came of a transaction.
struct Stored {
    outcomes: Outcomes,
    /// Whether the session has answered to the last.
    is_session_good: bool,
}

async fn store_in_time(
    primary: Primary,
    patches: Vec<(ProductId, ProductPatch)>,
    held: Held,
) -> Result<Outcomes, WriteError> {
    let timed_out = || sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()).into();
    timeout(TRANSACTION_TIME_MAX, store_in_session(&primary, &patches, &held))
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}

async fn store_in_session(
    primary: &Primary,
    patches: &[(ProductId, ProductPatch)],
    held: &Held,
) -> Result<Outcomes, WriteError> {
    match held {
        Held::PassOver(own) => {
            let mut session = own.take(primary).await?;
            let stored = store(primary, &mut session.connection, patches, held).await;
            // What is undone is tried again in halves, and rolled back before that. Alone it may be the session's fault.
            let is_good = match &stored {
                Ok(stored) => stored.is_session_good,
                Err(error) => patches.len() > 1 && is_undone(error),
            };
            if is_good {
                own.put(session);
            }
            stored.map(|stored| stored.outcomes)
        }
        Held::WaitFor => Ok(store(primary, &mut *primary.pool.acquire().await?, patches, held).await?.outcomes),
    }
}

/// One transaction. There is no outcome where the product was passed over.
async fn store(
    primary: &Primary,
    connection: &mut PgConnection,
    patches: &[(ProductId, ProductPatch)],
    held: &Held,
) -> Result<Stored, WriteError> {
    let mut ids: Vec<i64> = patches.iter().map(|(id, _)| id.get()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut transaction = Transaction::begin(primary, connection).await?;
    let locked = match held {
        Held::PassOver(_) => products::lock_free(transaction.connection(), &ids).await?,
        Held::WaitFor => products::lock(transaction.connection(), &ids).await?,
    };
    let now = locked.at;
    let mut products: HashMap<ProductId, Product> =
        locked.products.into_iter().map(|product| (product.id, product)).collect();
    let passed_over: HashSet<i64> = match held {
        Held::PassOver(_) if products.len() < ids.len() => {
            ids.retain(|id| products.keys().all(|locked| locked.get() != *id));
            products::existing(transaction.connection(), &ids).await?.into_iter().collect()
        }
        _ => HashSet::new(),
    };

    let mut changes = Vec::with_capacity(patches.len());
    let mut results: Vec<Option<Result<Product, WriteError>>> = Vec::with_capacity(patches.len());
    for (id, patch) in patches {
        let (Some(product), Some(now)) = (products.get_mut(id), now) else {
            results.push((!passed_over.contains(&id.get())).then_some(Err(WriteError::NotFound(*id))));
            continue;
        };
        results.push(Some(match decide::patched(product, patch, now) {
            Ok(change) => {
                if let Some(after) = change.as_ref().and_then(|decided| decided.change.after.as_ref()) {
                    product.clone_from(after);
                }
                changes.extend(change);
                Ok(product.clone())
            }
            Err(fault) => Err(fault.into()),
        }));
    }
    match now {
        Some(now) if !changes.is_empty() => {
            transaction.commit(&mut changes, locked.words, now).await?;
            counts::combined(changes.len());
        }
        _ => transaction.abandon().await?,
    }
    let moment = try_moment(connection).await;
    let with_token = |product: Product| {
        let token = moment.unwrap_or_default().token(Some((product.id, product.version)));
        (product, token)
    };
    let outcomes = results.into_iter().map(|result| Some(result?.map(with_token))).collect();
    Ok(Stored { outcomes, is_session_good: moment.is_some() })
}

/// Whether nothing was stored for sure: what Postgres itself refuses, it has not done, and rows are read before anything
/// is committed.
fn is_undone(error: &WriteError) -> bool {
    let WriteError::Database(error) = error else { return false };
    match &**error {
        sqlx::Error::Database(_) => Fault::of(error) != Fault::Away,
        sqlx::Error::RowNotFound | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}

fn lost(panic: &tokio::task::JoinError) -> WriteError {
    tracing::error!(%panic, "patches_lost");
    WriteError::Lost
}
