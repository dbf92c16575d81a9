//! What the auditor has heard in the stream, shared between the task that follows it and those that take samples.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use catalog::ProductId;
use events::Message;
use tokio::sync::mpsc;

use super::record::Change;
use super::timeline::Timeline;

/// Changes remembered for the history of a product, some 2 MB: 20 seconds at 1,000 a second.
const CHANGES_MAX: usize = 20_000;
/// Changes of one product that are told when a promise was broken.
const HISTORY_MAX: usize = 10;

pub(super) struct Heard {
    begun: Instant,
    state: Mutex<State>,
    /// Whether the next change is to be sampled.
    is_wanted: AtomicBool,
    sampled: mpsc::Sender<Change>,
}

#[derive(Default)]
struct State {
    timeline: Timeline,
    changes: VecDeque<Change>,
}

impl Heard {
    /// Has heard nothing; the receiver gets the changes that are to be sampled.
    pub(super) fn new() -> (Self, mpsc::Receiver<Change>) {
        let (sampled, receiver) = mpsc::channel(1);
        let is_wanted = AtomicBool::new(false);
        (Self { begun: Instant::now(), state: Mutex::default(), is_wanted, sampled }, receiver)
    }

    /// The auditor's own clock, which never falls.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Has the next change sampled; `false` if one has been awaited since the last call.
    pub(super) fn want_change(&self) -> bool {
        !self.is_wanted.swap(true, Ordering::Relaxed)
    }

    /// Takes in a message. `is_live` says that it has just been published.
    pub(super) fn hear(&self, message: &Message, is_live: bool) {
        let now = self.now();
        let mut state = self.lock();
        match message {
            Message::Heartbeat { stamp, heartbeat, .. } => {
                state.timeline.hear_heartbeat(stamp.epoch, heartbeat.t, now);
            }
            Message::Product(event) => {
                state.timeline.hear_epoch(event.stamp.epoch);
                let change = Change {
                    id: event.change.id,
                    version: event.change.version,
                    kind: event.change.kind(),
                    epoch: event.stamp.epoch,
                    position: event.stamp.position,
                    time: event.time,
                    heard: now,
                };
                if state.changes.len() >= CHANGES_MAX {
                    state.changes.pop_front();
                }
                state.changes.push_back(change.clone());
                drop(state);
                if is_live && self.is_wanted.swap(false, Ordering::Relaxed) {
                    // A sampler that is busy misses it; it has asked for one more than it can take.
                    let _ = self.sampled.try_send(change);
                }
            }
        }
    }

    /// What is heard from now on may have been heard before.
    pub(super) fn begin_again(&self) {
        self.lock().changes.clear();
    }

    /// Whether the log announces moments now.
    pub(super) fn is_current(&self) -> bool {
        self.lock().timeline.is_current(self.now())
    }

    pub(super) fn timeline(&self) -> Timeline {
        self.lock().timeline.clone()
    }

    /// The last changes of a product, newest first.
    pub(super) fn history(&self, id: ProductId) -> Vec<Change> {
        self.lock().changes.iter().rev().filter(|change| change.id == id).take(HISTORY_MAX).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
