//! Patches at a fixed schedule, whether or not the last ones were answered, and the time until they are visible.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use catalog::Product;
use serde_json::{Value, json};

use crate::figures::quantiles;
use crate::schedule::{Schedule, dice};
use crate::watch::{Patched, Shown, watch};
use crate::wire::{Answer, Connection};

/// Patches under way at a time; past them the schedule cannot be kept, and the rate that was reached tells so.
const CONNECTIONS: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Patch {
    /// The write service
    #[arg(long)]
    write: String,
    /// Taken from the environment, since everybody may read the arguments of a process
    #[arg(long, env = "FRESHET_API_KEY", hide_env_values = true)]
    api_key: String,
    /// Every read node
    #[arg(long, value_delimiter = ',')]
    read: Vec<String>,
    /// The products patched have the ids 1 to this
    #[arg(long)]
    products: u64,
    /// New prices are between 1 and this
    #[arg(long, default_value_t = 10_000)]
    prices: u64,
    #[command(flatten)]
    schedule: Schedule,
}

/// What one connection did.
#[derive(Default)]
struct Sent {
    answered: u64,
    failed: u64,
    /// The first refusal.
    failure: Option<String>,
}

impl Patch {
    pub(crate) fn run(&self) -> Result<Value> {
        let (watchers, watching): (Vec<_>, Vec<_>) = self
            .read
            .iter()
            .map(|url| {
                let (sender, receiver) = channel();
                let url = url.clone();
                (sender, thread::spawn(move || watch(&url, &receiver)))
            })
            .unzip();
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let sending: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let sender = Sending {
                    connection: Connection::open(&self.write)?,
                    headers: format!(
                        "Content-Type: application/merge-patch+json\r\nAuthorization: Bearer {}\r\n",
                        self.api_key
                    ),
                    schedule: self.schedule,
                    products: self.products,
                    prices: self.prices,
                    begun,
                    next: Arc::clone(&next),
                    watchers: watchers.clone(),
                };
                Ok(thread::spawn(move || sender.run()))
            })
            .collect::<Result<_>>()?;
        drop(watchers);
        let mut total = Sent::default();
        for sender in sending {
            let sent = sender.join().map_err(|_| anyhow!("a sender panicked"))??;
            total.answered += sent.answered;
            total.failed += sent.failed;
            total.failure = total.failure.or(sent.failure);
        }
        let seconds = begun.elapsed().as_secs_f64();
        let shown = watching
            .into_iter()
            .map(|watcher| watcher.join().map_err(|_| anyhow!("a watcher panicked"))?)
            .collect::<Result<Vec<_>>>()?;
        let slowest = slowest(&shown);
        let times = |of: fn(&Shown) -> Duration| quantiles(slowest.iter().map(of).collect());
        #[expect(clippy::cast_precision_loss, reason = "no run sends 2^53 patches")]
        let per_second = total.answered as f64 / seconds;
        Ok(json!({
            "per_second": per_second,
            "failed": total.failed,
            "failure": total.failure,
            "from_change": times(|shown| shown.from_change),
            "from_answer": times(|shown| shown.from_answer),
        }))
    }
}

/// Of each patch, when the last of the nodes showed it.
fn slowest(nodes: &[HashMap<u64, Shown>]) -> Vec<Shown> {
    let mut all: HashMap<u64, Shown> = HashMap::new();
    for (number, shown) in nodes.iter().flatten() {
        all.entry(*number)
            .and_modify(|slowest| {
                slowest.from_change = slowest.from_change.max(shown.from_change);
                slowest.from_answer = slowest.from_answer.max(shown.from_answer);
            })
            .or_insert(*shown);
    }
    all.into_values().collect()
}

/// One connection and what it takes from the schedule.
struct Sending {
    connection: Connection,
    headers: String,
    schedule: Schedule,
    products: u64,
    prices: u64,
    begun: Instant,
    next: Arc<AtomicU64>,
    watchers: Vec<Sender<Patched>>,
}

impl Sending {
    fn run(mut self) -> Result<Sent> {
        let mut sent = Sent::default();
        let end = self.begun + self.schedule.duration();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            // What the schedule asked for and no connection was free for is left out when the time is over.
            if number >= self.schedule.count() || Instant::now() > end {
                return Ok(sent);
            }
            thread::sleep(self.schedule.due(self.begun, number).saturating_duration_since(Instant::now()));
            let answer = self.send(number)?;
            let answered_at = Instant::now();
            if answer.status != 200 {
                sent.failed += 1;
                sent.failure.get_or_insert_with(|| String::from_utf8_lossy(&answer.body).into_owned());
                continue;
            }
            sent.answered += 1;
            if self.schedule.is_watched(number) {
                self.tell(number, &answer, answered_at)?;
            }
        }
    }

    fn send(&mut self, number: u64) -> Result<Answer> {
        // Another run must not send the same patches: they would change nothing.
        let seed = dice(number ^ u64::from(std::process::id()) << 32);
        let id = seed % self.products + 1;
        // By turns what is in an index and what is in none, as prices and stock change in a shop.
        let body = if number.is_multiple_of(2) {
            format!(r#"{{"price":"{}.{:02}"}}"#, (seed >> 32) % self.prices + 1, (seed >> 48) % 100)
        } else {
            format!(r#"{{"stock":{}}}"#, seed >> 44)
        };
        self.connection.ask("PATCH", &format!("/products/{id}"), &self.headers, &body)
    }

    fn tell(&self, number: u64, answer: &Answer, answered_at: Instant) -> Result<()> {
        let product: Product = serde_json::from_slice(&answer.body)?;
        let version = answer.version()?;
        ensure!(version > 0, "a patch is answered without a version");
        let patched = Patched { number, id: product.id, version, changed_at: product.updated_at, answered_at };
        for watcher in &self.watchers {
            // One that has failed says so itself.
            let _ = watcher.send(patched);
        }
        Ok(())
    }
}
