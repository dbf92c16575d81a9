//! One watcher for each read node: asks for patched products until it sees them.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use catalog::ProductId;
use time::OffsetDateTime;

use crate::wire::Connection;

/// Between two looks at the same product: well below what is measured, and some load less.
const PAUSE: Duration = Duration::from_micros(300);
/// Far below what the node lets a connection be idle for.
const IDLE_MAX: Duration = Duration::from_secs(1);
/// After it a patch counts as never shown, and the round as failed. A machine that cannot keep up shows them late, but does.
const SHOWN_MAX: Duration = Duration::from_mins(1);

/// A patch that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patched {
    pub(crate) number: u64,
    pub(crate) id: ProductId,
    pub(crate) version: u64,
    /// The event's own time.
    pub(crate) changed_at: OffsetDateTime,
    pub(crate) answered_at: Instant,
}

/// How long after each a node was seen to show the patch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) from_change: Duration,
    pub(crate) from_answer: Duration,
}

/// When the node showed each patch, by the patch's number; ends when there are no more.
///
/// All that are waited for take turns on one connection: none is left out because others take long.
pub(crate) fn watch(url: &str, from: &Receiver<Patched>) -> Result<HashMap<u64, Shown>> {
    let mut connection = Connection::open(url)?;
    let mut shown = HashMap::new();
    let mut waiting: Vec<Patched> = Vec::new();
    let mut is_over = false;
    let mut idle_since = Instant::now();
    while !(is_over && waiting.is_empty()) {
        if waiting.is_empty() {
            match from.recv() {
                Ok(patched) => waiting.push(patched),
                Err(_) => break,
            }
            // One that was idle for long may be closed by the node just now.
            if idle_since.elapsed() > IDLE_MAX {
                connection = Connection::open(url)?;
            }
        }
        while !is_over {
            match from.try_recv() {
                Ok(patched) => waiting.push(patched),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => is_over = true,
            }
        }
        let mut failed = Ok(());
        waiting.retain(|patched| match look(&mut connection, *patched) {
            Ok(Some(seen)) => {
                shown.insert(patched.number, seen);
                false
            }
            Ok(None) => true,
            Err(error) => {
                failed = Err(error);
                true
            }
        });
        failed?;
        if waiting.is_empty() {
            idle_since = Instant::now();
        } else {
            thread::sleep(PAUSE);
        }
    }
    Ok(shown)
}

fn look(connection: &mut Connection, patched: Patched) -> Result<Option<Shown>> {
    let answer = connection.ask("GET", &format!("/products/{}", patched.id), "", "")?;
    ensure!(answer.status == 200, "a read node answers {}", answer.status);
    let from_answer = patched.answered_at.elapsed();
    if answer.version()? >= patched.version {
        let from_change = OffsetDateTime::now_utc() - patched.changed_at;
        // Both clocks are this machine's; one that was set back meanwhile shows no time at all.
        return Ok(Some(Shown { from_change: from_change.try_into().unwrap_or_default(), from_answer }));
    }
    if from_answer > SHOWN_MAX {
        bail!("version {} of product {} was not shown within {SHOWN_MAX:?}", patched.version, patched.id);
    }
    Ok(None)
}
