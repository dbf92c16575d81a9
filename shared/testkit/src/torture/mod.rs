//! Torture: clients write to and read from a whole stack while a script breaks its parts, and a checker judges what they saw.
//!
//! The primary is never restarted here, so no version is ever used twice, and everything is judged across epochs too. What
//! becomes of promises when a replica is promoted is another matter, with tests of its own.

pub mod check;
mod faults;
pub mod history;
mod random;
mod reader;
mod report;
mod script;
mod settle;
mod shop;
mod writer;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::{JoinHandle, block_in_place};
use xtask::repository;
use xtask::stack::Options;

pub use faults::Fault;
pub use report::{Report, Tally};

use crate::{TestStack, client, stack};
use history::{History, Read, Write};
use random::Random;
use reader::Reader;
use script::Script;
use shop::{SLOTS, Shop};
use writer::Writer;

/// Readers of each node, and of the gateway: while one waits for a token, others go on.
const READERS_EACH: u32 = 6;
/// Writers of each write service, and of the gateway.
const WRITERS_EACH: u32 = 3;
/// About as much as two cores can do beside the reads.
const WRITES_PER_SECOND: u32 = 200;

/// Less memory near than all products take, and short lives in Redis, so that every tier is asked all the time.
const SETTINGS: [(&str, &str); 3] =
    [("FRESHET_HORIZON_SECONDS", "5"), ("FRESHET_NEAR_BYTES_MAX", "100000"), ("FRESHET_PRODUCT_TTL_SECONDS", "3")];

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Of the faults; each is done once at least, however long that takes.
    pub duration: Duration,
    pub seed: u64,
    /// Requests, if the machine can: it bounds the memory that the history takes.
    pub reads_per_second: u32,
}

/// Starts a stack, tortures it, and judges what its clients saw. What a failed run leaves behind is under `target/torture`.
pub async fn run(plan: Plan) -> Result<Report> {
    println!("seed {}", plan.seed);
    let mut random = Random::new(plan.seed);
    let options = Options { replicas: 2, write_nodes: 2, projectors: 2, read_nodes: 3, ..Options::default() };
    let mut stack = block_in_place(|| stack(options, &SETTINGS));
    let ran = torture(&mut stack, &mut random, plan).await;
    if !ran.as_ref().is_ok_and(Report::is_good) {
        let kept = keep_logs(&stack, plan.seed)?;
        println!("the logs are in {}", kept.display());
    }
    ran
}

async fn torture(stack: &mut TestStack, random: &mut Random, plan: Plan) -> Result<Report> {
    let urls = stack.stack.urls();
    let shop = Arc::new(Shop::new(urls.read.len()));
    let mut history = History { writes: open(stack, &shop, random).await, ..History::default() };
    let writers = writers(stack, &shop, random);
    let readers = readers(stack, &shop, random, plan.reads_per_second);
    let mut script = Script { stack, shop: &shop, random: random.fork(), inflicted: BTreeMap::new() };
    let broken = script.run(plan.duration).await;
    let faults = script.inflicted;
    shop.close();
    let mut tally = Tally::default();
    for writer in writers {
        history.writes.extend(writer.await?);
    }
    for reader in readers {
        let (reads, counted) = reader.await?;
        history.reads.extend(reads);
        tally.add(counted);
    }
    broken?;
    history.primary = settle::primary(&urls.database).await?;
    for (number, url) in (1..).zip(&urls.read) {
        let seen = settle::node(&client(url), &history.primary).await;
        history.nodes.extend(seen.into_iter().map(|seen| (number, seen)));
    }
    let verdict = check::check(&history);
    Ok(Report { seed: plan.seed, tally, faults, history, verdict })
}

/// Fills every place with a product.
async fn open(stack: &TestStack, shop: &Arc<Shop>, random: &mut Random) -> Vec<Write> {
    let mut writer =
        Writer { shop: Arc::clone(shop), id: 0, service: stack.gateway(), random: random.fork(), writes: Vec::new() };
    for index in 0..SLOTS {
        writer.create(index).await;
    }
    writer.writes
}

fn writers(stack: &TestStack, shop: &Arc<Shop>, random: &mut Random) -> Vec<JoinHandle<Vec<Write>>> {
    let urls = stack.stack.urls();
    let services: Vec<&String> = urls.write.iter().chain([&urls.gateway]).collect();
    let count = WRITERS_EACH * u32::try_from(services.len()).expect("few services");
    let period = Duration::from_secs(1) * count / WRITES_PER_SECOND;
    let service = services.into_iter().cycle();
    let writers = (1..).zip(service).take(count as usize).map(|(id, url)| {
        let (shop, random) = (Arc::clone(shop), random.fork());
        tokio::spawn(Writer { shop, id, service: stack.client(url), random, writes: Vec::new() }.run(period))
    });
    writers.collect()
}

fn readers(
    stack: &TestStack,
    shop: &Arc<Shop>,
    random: &mut Random,
    per_second: u32,
) -> Vec<JoinHandle<(Vec<Read>, Tally)>> {
    let urls = stack.stack.urls();
    let services: Vec<(u8, &String)> = (0..).zip([&urls.gateway].into_iter().chain(&urls.read)).collect();
    let count = READERS_EACH * u32::try_from(services.len()).expect("few nodes");
    let period = Duration::from_secs(1) * count / per_second;
    let service = services.into_iter().cycle();
    let readers = (100..).zip(service).take(count as usize).map(|(id, (node, url))| {
        let (shop, random, tally) = (Arc::clone(shop), random.fork(), Tally::default());
        tokio::spawn(Reader { shop, id, node, service: client(url), random, reads: Vec::new(), tally }.run(period))
    });
    readers.collect()
}

fn keep_logs(stack: &TestStack, seed: u64) -> Result<PathBuf> {
    let kept = repository::file("target/torture").join(format!("seed-{seed}"));
    fs::create_dir_all(&kept)?;
    copy(&stack.file("logs"), &kept).context("the logs cannot be kept")?;
    Ok(kept)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
