//! Combines commands on single products: those that arrive while one transaction commits share the next one.
//!
//! A lone command does not wait, nor do commands one after the other. Under load the cost of a transaction is shared by all that
//! came since the last one began, a few milliseconds before; what that saves is left to those who make the changes visible.
//!
//! Products are read without a lock; what was decided of them is written only of those that are still the same and that nobody
//! else holds. The others are not waited for here: their commands, and those that follow them, are combined into transactions
//! of their own, which lock them first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::ProductId;
use sqlx::PgConnection;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::command::{Command, Outcome};
use super::together::{Outcomes, in_halves, in_time, is_undone, store, store_locked};
use crate::app::Primary;
use crate::counts;
use crate::database;
use crate::error::WriteError;

/// Commands of one transaction: some tens of milliseconds at most.
const BATCH_MAX: usize = 256;
/// From the beginning of a transaction that several commands share to the next: shorter than most take anyway, long enough
/// for some patches under load.
const INTERVAL_MIN: Duration = Duration::from_millis(3);
/// Then the session is opened anew, as the pool's are: the address may lead to another server by now.
const SESSION_AGE_MAX: Duration = Duration::from_mins(30);
/// Commands under way: more would wait for longer than their clients do.
const WAITING_MAX: usize = 4_096;

/// The way of a command on one product into the database.
#[derive(Clone, Debug)]
pub(crate) struct Patches {
    waiting: mpsc::UnboundedSender<Waiting>,
    places: Arc<Semaphore>,
}

struct Waiting {
    command: Command,
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

    pub(crate) async fn submit(&self, command: Command) -> Outcome {
        let _place = self.places.try_acquire().map_err(|_| WriteError::Busy)?;
        let (answer, outcome) = oneshot::channel();
        self.waiting.send(Waiting { command, answer }).map_err(|_| WriteError::Lost)?;
        outcome.await.unwrap_or(Err(WriteError::Lost))
    }

    /// Lets `moment` come while single commands are under way: whoever has more to do than they goes after them.
    pub(crate) async fn give_way(&self, moment: Instant) {
        if self.places.available_permits() < WAITING_MAX {
            sleep_until(moment).await;
        }
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
        match self.queues().get_mut(&waiting.command.id) {
            Some(queue) => {
                queue.push(waiting);
                None
            }
            None => Some(waiting),
        }
    }

    /// Begins with the patches of one product.
    fn open(&self, primary: Primary, group: Vec<Waiting>) {
        let Some(id) = group.first().map(|waiting| waiting.command.id) else { return };
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
        groups.entry(waiting.command.id).or_default().push(waiting);
    }
    groups.into_values()
}

/// Stores and answers; returns the patches whose products were passed over.
async fn store_all(primary: &Primary, mut batch: Vec<Waiting>, held: &Held) -> Vec<Waiting> {
    // Nobody would hear of these any more.
    batch.retain(|waiting| !waiting.answer.is_closed());
    let mut passed_over = Vec::new();
    let batch = batch.into_iter().map(|Waiting { command, answer }| (command, answer)).collect();
    let store = |commands| in_time(store_or_wait(primary.clone(), commands, held.clone()));
    in_halves(batch, store, |command, answer, outcome| match outcome {
        // Whoever has gone meanwhile is not told.
        Some(outcome) => drop(answer.send(outcome)),
        None => passed_over.push(Waiting { command, answer }),
    })
    .await;
    passed_over
}

async fn store_or_wait(primary: Primary, commands: Vec<Command>, held: Held) -> Result<Outcomes, WriteError> {
    match held {
        Held::PassOver(own) => store_in_own_session(&primary, &commands, &own).await,
        Held::WaitFor => store_locked(&primary, &commands).await,
    }
}

async fn store_in_own_session(
    primary: &Primary,
    commands: &[Command],
    own: &OwnSession,
) -> Result<Outcomes, WriteError> {
    let mut session = own.take(primary).await?;
    let stored = store(primary, &mut session.connection, commands).await;
    // What is undone is tried again in halves. Alone it may be the session's fault.
    if stored.as_ref().map_or_else(|error| commands.len() > 1 && is_undone(error), |_| true) {
        own.put(session);
    }
    stored
}
