//! What all clients of a run share: the products, the tokens of their last writes, and the clock.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use catalog::Product;
use http::HeaderValue;
use time::OffsetDateTime;

use super::history::{Key, Mark, Moment};
use super::random::Random;

/// Products of one brand, which one page of a list shows.
pub(super) const GROUP: usize = 20;
const GROUPS: usize = 12;
/// Places for products; about half of them fit near in the setting of the run.
pub(super) const SLOTS: usize = GROUP * GROUPS;
/// Deleted products that are still asked for.
const GRAVES_MAX: usize = 100;
/// Writes whose tokens nobody has used yet.
const FRESH_MAX: usize = 50;

/// A product as its last acknowledged write left it.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) key: Key,
    pub(super) version: u32,
    pub(super) token: HeaderValue,
    /// When the write began.
    pub(super) at: Moment,
}

/// A place for one product at a time.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) product: Option<Written>,
    /// Whether a client is just replacing the product.
    pub(super) is_claimed: bool,
    /// Raised when it is not known whether a product with the sku exists.
    generation: u32,
}

/// The shop that clients patronise.
pub(super) struct Shop {
    begun: SystemTime,
    marks: AtomicU32,
    slots: Vec<Mutex<Slot>>,
    graves: Mutex<VecDeque<Written>>,
    fresh: Mutex<VecDeque<usize>>,
    /// Of each read node, by its number from 1.
    lives: Vec<AtomicU8>,
    is_over: AtomicBool,
}

impl Shop {
    pub(super) fn new(read_nodes: usize) -> Self {
        Self {
            begun: SystemTime::now(),
            marks: AtomicU32::new(0),
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
            graves: Mutex::default(),
            fresh: Mutex::default(),
            lives: (0..=read_nodes).map(|_| AtomicU8::new(1)).collect(),
            is_over: AtomicBool::new(false),
        }
    }

    /// The wall clock: it is what the primary's `Catalog-As-Of` is of.
    pub(super) fn now(&self) -> Moment {
        self.moment(OffsetDateTime::now_utc())
    }

    /// 0 for whatever was before the run.
    pub(super) fn moment(&self, time: OffsetDateTime) -> Moment {
        let since = (time - OffsetDateTime::from(self.begun)).whole_microseconds();
        Moment(u32::try_from(since.max(0)).unwrap_or(u32::MAX))
    }

    /// The mark of the next write.
    pub(super) fn mark(&self) -> Mark {
        Mark(self.marks.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(super) fn slot(&self, index: usize) -> MutexGuard<'_, Slot> {
        lock(&self.slots[index])
    }

    /// What is at `index` now.
    pub(super) fn product(&self, index: usize) -> Option<Written> {
        self.slot(index).product.clone()
    }

    /// Takes note of an acknowledged write, unless a newer one is known.
    pub(super) fn written(&self, index: usize, written: Written) {
        let mut slot = self.slot(index);
        if let Some(product) = &mut slot.product
            && product.key == written.key
            && product.version < written.version
        {
            *product = written;
            drop(slot);
            let mut fresh = lock(&self.fresh);
            fresh.truncate(FRESH_MAX - 1);
            fresh.push_front(index);
        }
    }

    /// The place of the last write whose token nobody has used.
    pub(super) fn take_fresh(&self) -> Option<usize> {
        lock(&self.fresh).pop_front()
    }

    pub(super) fn bury(&self, deleted: Written) {
        let mut graves = lock(&self.graves);
        graves.truncate(GRAVES_MAX - 1);
        graves.push_front(deleted);
    }

    pub(super) fn grave(&self, random: &mut Random) -> Option<Written> {
        let graves = lock(&self.graves);
        (!graves.is_empty()).then(|| graves[random.below(graves.len())].clone())
    }

    /// The life of a node's process; the gateway has none.
    pub(super) fn life(&self, node: u8) -> u8 {
        self.lives[usize::from(node)].load(Ordering::SeqCst)
    }

    /// To be called before a node is killed.
    pub(super) fn begin_life(&self, node: usize) {
        self.lives[node].fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

impl Slot {
    pub(super) fn sku(&self, index: usize) -> String {
        format!("LAMP-{index}-{}", self.generation)
    }

    /// No product with the present sku can be counted on any more, nor excluded.
    pub(super) fn abandon_sku(&mut self) {
        self.generation += 1;
    }
}

/// The word that is in the products of a group and in no other; none begins with another.
pub(super) fn group_word(index: usize) -> String {
    format!("grove{:02}", index / GROUP)
}

/// The fields in which a write leaves its mark.
pub(super) fn marked_fields(mark: Mark) -> String {
    format!(r#""stock":{},"price":"{}.{:02}""#, mark.0, mark.0 / 100, mark.0 % 100)
}

/// Which write made a product what it is; none that exists if its fields are of several.
pub(super) fn mark_of(product: &Product) -> Mark {
    mark_in(product.stock.get().into(), product.price.minor())
}

pub(super) fn mark_in(stock: i64, price_minor: i64) -> Mark {
    let mark = u32::try_from(stock).ok().filter(|_| stock == price_minor);
    Mark(mark.unwrap_or(u32::MAX))
}

/// Of a product's whole bytes; never 0.
pub(super) fn digest_of(product: &Product) -> u32 {
    let mut hasher = DefaultHasher::new();
    product.to_json().hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).expect("half of it") | 1
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
