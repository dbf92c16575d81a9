//! Changes of many products at once, by one bulk or by single patches, and the time until every read node shows all of them.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::schedule::dice;
use crate::wire::Connection;

/// Single patches under way at a time.
const CONNECTIONS: usize = 64;
/// What a read node answers in one batch.
const BATCH: usize = 100;
/// Between two looks at what is not shown yet.
const PAUSE: Duration = Duration::from_millis(1);
/// After it the changes count as never shown.
const SHOWN_MAX: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(crate) struct Bulk {
    /// The write service
    #[arg(long)]
    write: String,
    /// Taken from the environment, since everybody may read the arguments of a process
    #[arg(long, env = "FRESHET_API_KEY", hide_env_values = true)]
    api_key: String,
    /// Every read node
    #[arg(long, value_delimiter = ',')]
    read: Vec<String>,
    /// The products changed have the ids 1 to this
    #[arg(long)]
    products: u32,
    #[arg(long)]
    field: Field,
    /// One patch for each product instead of one bulk
    #[arg(long)]
    single: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Field {
    Price,
    Stock,
}

/// What a product is answered as, by whoever has it.
#[derive(Deserialize)]
struct Changed {
    id: u32,
    version: u64,
}

#[derive(Deserialize)]
struct Batch {
    items: Vec<Changed>,
}

impl Bulk {
    pub(crate) fn run(&self) -> Result<Value> {
        // Another run must not send the same values: they would change nothing.
        let seed = u64::from(std::process::id()) << 32;
        let patches: Vec<Value> = (1..=self.products).map(|id| self.patch(id, dice(seed | u64::from(id)))).collect();
        let begun = Instant::now();
        let versions = if self.single { self.send_each(&patches)? } else { self.send_together(&patches)? };
        let answered = begun.elapsed();
        ensure!(versions.len() == patches.len(), "{} of {} patches were accepted", versions.len(), patches.len());
        let versions = Arc::new(versions);
        let watching: Vec<_> = self
            .read
            .iter()
            .map(|url| {
                let (url, versions) = (url.clone(), Arc::clone(&versions));
                thread::spawn(move || until_shown(&url, &versions))
            })
            .collect();
        for watcher in watching {
            watcher.join().map_err(|_| anyhow!("a watcher panicked"))??;
        }
        Ok(json!({"answered": answered.as_secs_f64(), "visible": begun.elapsed().as_secs_f64()}))
    }

    fn patch(&self, id: u32, value: u64) -> Value {
        match self.field {
            Field::Price => json!({"id": id, "price": format!("{}.{:02}", value % 10_000, (value >> 32) % 100)}),
            Field::Stock => json!({"id": id, "stock": value % 1_000_000_000}),
        }
    }

    /// The versions by id.
    fn send_together(&self, patches: &[Value]) -> Result<HashMap<u32, u64>> {
        let body: String = patches.iter().flat_map(|patch| [patch.to_string(), "\n".to_owned()]).collect();
        let host = self.write.strip_prefix("http://").context("an http:// URL is needed")?.trim_end_matches('/');
        let mut stream = TcpStream::connect(host)?;
        // By HTTP/1.0, whose answers end with the connection.
        let head = format!(
            "PATCH /products HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/x-ndjson\r\nAuthorization: Bearer {}\r\n\
             Content-Length: {}\r\n\r\n",
            self.api_key,
            body.len()
        );
        let mut writer = stream.try_clone()?;
        // Beside the reading: the service stops reading when nobody takes its results.
        let sending = thread::spawn(move || writer.write_all((head + &body).as_bytes()));
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        sending.join().map_err(|_| anyhow!("the sender panicked"))??;
        let (head, lines) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        ensure!(head.contains(" 200 "), "the bulk is answered {head}");
        Ok(lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Changed>(line).ok())
            .map(|changed| (changed.id, changed.version))
            .collect())
    }

    fn send_each(&self, patches: &[Value]) -> Result<HashMap<u32, u64>> {
        let next = AtomicUsize::new(0);
        let headers =
            format!("Content-Type: application/merge-patch+json\r\nAuthorization: Bearer {}\r\n", self.api_key);
        let work = || -> Result<Vec<(u32, u64)>> {
            let mut connection = Connection::open(&self.write)?;
            let mut versions = Vec::new();
            while let Some(patch) = patches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let mut patch = patch.clone();
                let id = patch.as_object_mut().and_then(|patch| patch.remove("id")).context("a patch without an id")?;
                let answer = connection.ask("PATCH", &format!("/products/{id}"), &headers, &patch.to_string())?;
                ensure!(answer.status == 200, "a patch is answered {}", answer.status);
                let changed: Changed = serde_json::from_slice(&answer.body)?;
                versions.push((changed.id, changed.version));
            }
            Ok(versions)
        };
        let sent = thread::scope(|scope| {
            let senders: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(work)).collect();
            senders
                .into_iter()
                .map(|sender| sender.join().map_err(|_| anyhow!("a sender panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(sent.into_iter().flatten().collect())
    }
}

/// Asks a read node until it shows each product at its version or a later one.
fn until_shown(url: &str, versions: &HashMap<u32, u64>) -> Result<()> {
    let begun = Instant::now();
    let mut connection = Connection::open(url)?;
    let mut waiting: Vec<u32> = versions.keys().copied().collect();
    while !waiting.is_empty() {
        ensure!(begun.elapsed() < SHOWN_MAX, "{} products were not shown within {SHOWN_MAX:?}", waiting.len());
        let mut old = Vec::new();
        for ids in waiting.chunks(BATCH) {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            let answer =
                connection.ask("GET", &format!("/products?ids={}&fields=id,version", ids.join(",")), "", "")?;
            ensure!(answer.status == 200, "a read node answers {}", answer.status);
            let batch: Batch = serde_json::from_slice(&answer.body)?;
            let is_old = |shown: &Changed| versions.get(&shown.id).is_some_and(|version| shown.version < *version);
            old.extend(batch.items.iter().filter(|shown| is_old(shown)).map(|shown| shown.id));
        }
        if !old.is_empty() {
            thread::sleep(PAUSE);
        }
        waiting = old;
    }
    Ok(())
}
