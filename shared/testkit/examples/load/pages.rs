//! Pages as a storefront asks for them: a few very often, most now and then.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::figures::quantiles;
use crate::schedule::{Schedule, dice};
use crate::wire::{Answer, Connection};

/// Requests under way at a time.
const CONNECTIONS: usize = 16;
/// Of the scheme that is compared with.
const TIME_TO_LIVE: Duration = Duration::from_secs(1);
/// Longest wait for a node to have heard of everything.
const CATCH_UP_MAX: Duration = Duration::from_secs(10);
const HIT: &str = "near; hit";

#[derive(clap::Args)]
pub(crate) struct Pages {
    /// The read node
    #[arg(long)]
    read: String,
    /// A file with a path on each line: the one in line n is asked for n times less often than the first (Zipf)
    #[arg(long)]
    paths: PathBuf,
    /// Changes a second that are made meanwhile
    #[arg(long)]
    changes: u32,
    #[command(flatten)]
    schedule: Schedule,
}

#[derive(clap::Args)]
pub(crate) struct Check {
    /// The read node
    #[arg(long)]
    read: String,
    /// A file with a path on each line
    #[arg(long)]
    paths: PathBuf,
}

#[derive(clap::Args)]
pub(crate) struct Once {
    /// The read node
    #[arg(long)]
    read: String,
    /// A file with a path on each line
    #[arg(long)]
    paths: PathBuf,
    /// Every page must be kept; otherwise none may be
    #[arg(long)]
    kept: bool,
}

/// One answer.
struct Asked {
    path: usize,
    at: Duration,
    took: Duration,
    is_hit: bool,
    etag: String,
}

impl Pages {
    pub(crate) fn run(&self) -> Result<Value> {
        let paths: Arc<Vec<String>> = Arc::new(lines(&self.paths)?);
        let chances: Arc<Vec<f64>> = Arc::new(chances(paths.len()));
        let next = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let asking: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let mut connection = Connection::open(&self.read)?;
                let (paths, chances, next, schedule) =
                    (Arc::clone(&paths), Arc::clone(&chances), Arc::clone(&next), self.schedule);
                Ok(thread::spawn(move || -> Result<Vec<Asked>> {
                    let mut asked = Vec::new();
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= schedule.count() || begun.elapsed() > schedule.duration() {
                            return Ok(asked);
                        }
                        thread::sleep(schedule.due(begun, number).saturating_duration_since(Instant::now()));
                        let path = chosen(&chances, number ^ u64::from(std::process::id()) << 32);
                        let at = begun.elapsed();
                        let answer = connection.ask("GET", &paths[path], "", "")?;
                        ensure!(answer.status == 200, "{} is answered {}", paths[path], answer.status);
                        let took = begun.elapsed().saturating_sub(at);
                        asked.push(Asked { path, at, took, is_hit: answer.cache_status == HIT, etag: answer.etag });
                    }
                }))
            })
            .collect::<Result<_>>()?;
        let mut asked = Vec::new();
        for thread in asking {
            asked.extend(thread.join().map_err(|_| anyhow!("an asking thread panicked"))??);
        }
        asked.sort_by_key(|asked| asked.at);
        let share = |count: usize| ratio(count, asked.len());
        let (by_time, wrong) = hits_by_time(&asked);
        Ok(json!({
            "requests": asked.len(),
            "hits": share(asked.iter().filter(|asked| asked.is_hit).count()),
            "hits_by_version": share(hits_by_version(&asked, self.changes)),
            "hits_by_time": share(by_time),
            "wrong_by_time": share(wrong),
            "latency": quantiles(asked.iter().map(|asked| asked.took).collect()),
        }))
    }
}

impl Check {
    pub(crate) fn run(&self) -> Result<Value> {
        let paths = Arc::new(lines(&self.paths)?);
        self.wait_until_caught_up(&paths[0])?;
        let next = Arc::new(AtomicUsize::new(0));
        let checking: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                let mut connection = Connection::open(&self.read)?;
                let (paths, next) = (Arc::clone(&paths), Arc::clone(&next));
                Ok(thread::spawn(move || -> Result<(usize, Vec<String>)> {
                    let (mut checked, mut wrong) = (0, Vec::new());
                    while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let kept = connection.ask("GET", path, "", "")?;
                        if kept.cache_status != HIT {
                            continue;
                        }
                        let read = connection.ask("GET", path, "Cache-Control: no-cache\r\n", "")?;
                        ensure!((kept.status, read.status) == (200, 200), "{path} is answered {}", read.status);
                        checked += 1;
                        if kept.body != read.body {
                            wrong.push(path.clone());
                        }
                    }
                    Ok((checked, wrong))
                }))
            })
            .collect::<Result<_>>()?;
        let (mut checked, mut wrong) = (0, Vec::new());
        for thread in checking {
            let of_one = thread.join().map_err(|_| anyhow!("a checking thread panicked"))??;
            checked += of_one.0;
            wrong.extend(of_one.1);
        }
        Ok(json!({ "checked": checked, "wrong": wrong }))
    }

    /// Nothing is changed any more: whoever vouches for a moment after this has heard of everything.
    fn wait_until_caught_up(&self, path: &str) -> Result<()> {
        let (now, begun) = (OffsetDateTime::from(SystemTime::now()), Instant::now());
        let mut connection = Connection::open(&self.read)?;
        loop {
            let as_of = connection.ask("GET", path, "", "")?.as_of;
            if OffsetDateTime::parse(&as_of, &Rfc3339).is_ok_and(|as_of| as_of > now) {
                return Ok(());
            }
            ensure!(begun.elapsed() < CATCH_UP_MAX, "the node has not caught up: its Catalog-As-Of is {as_of:?}");
        }
    }
}

impl Once {
    pub(crate) fn run(&self) -> Result<Value> {
        let mut connection = Connection::open(&self.read)?;
        let mut asked = Vec::new();
        for path in lines(&self.paths)? {
            let begun = Instant::now();
            let Answer { status, cache_status, .. } = connection.ask("GET", &path, "", "")?;
            let took = begun.elapsed();
            ensure!(status == 200, "{path} is answered {status} after {took:?}");
            ensure!(
                cache_status.starts_with(HIT) == self.kept,
                "{path} is answered with Cache-Status {cache_status:?}"
            );
            asked.push((took, path));
        }
        let slowest = asked.iter().max().map(|(_, path)| path.clone());
        let latency = quantiles(asked.into_iter().map(|(took, _)| took).collect());
        Ok(json!({ "latency": latency, "slowest": slowest }))
    }
}

fn lines(file: &Path) -> Result<Vec<String>> {
    let lines: Vec<String> = fs::read_to_string(file)?.lines().map(str::to_owned).collect();
    ensure!(!lines.is_empty(), "{} names no path", file.display());
    Ok(lines)
}

/// For each place the chance that it or one before it is asked for.
#[expect(clippy::cast_precision_loss, reason = "there are not 2^53 paths")]
fn chances(paths: usize) -> Vec<f64> {
    let weights: Vec<f64> = (1..=paths).map(|place| 1.0 / place as f64).collect();
    let sum: f64 = weights.iter().sum();
    let mut below = 0.0;
    weights
        .into_iter()
        .map(|weight| {
            below += weight / sum;
            below
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a chance need not be exact")]
fn chosen(chances: &[f64], number: u64) -> usize {
    let chance = (dice(number) >> 11) as f64 / (1_u64 << 53) as f64;
    chances.partition_point(|below| *below < chance).min(chances.len() - 1)
}

/// Hits of a scheme in which every change voids every page: a list of its own generation, named in each key.
fn hits_by_version(asked: &[Asked], changes_per_second: u32) -> usize {
    let version = |at: Duration| at.as_nanos() * u128::from(changes_per_second) / 1_000_000_000;
    let mut kept = HashMap::new();
    asked.iter().filter(|asked| kept.insert(asked.path, version(asked.at)) == Some(version(asked.at))).count()
}

/// Hits of a scheme in which a page lives for a time, and those among them that were not what the node answered.
fn hits_by_time(asked: &[Asked]) -> (usize, usize) {
    let mut kept: HashMap<usize, &Asked> = HashMap::new();
    let (mut hits, mut wrong) = (0, 0);
    for asked in asked {
        match kept.get(&asked.path) {
            Some(filled) if asked.at.saturating_sub(filled.at) < TIME_TO_LIVE => {
                hits += 1;
                wrong += usize::from(filled.etag != asked.etag);
            }
            _ => {
                kept.insert(asked.path, asked);
            }
        }
    }
    (hits, wrong)
}

#[expect(clippy::cast_precision_loss, reason = "no run sends 2^53 requests")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of.max(1) as f64
}
