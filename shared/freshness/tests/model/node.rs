//! A read node: the real `Log`, the near cache's rules, and flights that may stand still between any two steps.

use std::sync::Arc;
use std::time::Duration;

use events::{Epoch, Position};
use freshness::{Applied, Kept, Log, Provenance};

use crate::limits::Limited;
use crate::model::{HORIZON, Model};
use crate::mutation::Mutation;
use crate::world::{
    Entry, Flight, Ghost, Landed, Link, Near, Node, Says, Source, Stored, World, entry, product, tick, version,
};

/// The id of a message that only a mutation shows to the log.
const PRETENDED: u8 = u8::MAX;

impl Model {
    /// The entry as the rule gets to see it: a mutation shows the real rule something better than the truth.
    fn shown(&self, log: &Log, entry: Provenance) -> Provenance {
        match self.mutation {
            Some(Mutation::NoFloor) => Provenance { version: version(u8::MAX), ..entry },
            Some(Mutation::NoR) => Provenance { read_at: Position(u64::MAX), ..entry },
            Some(Mutation::GeStart) => Provenance { read_at: Position(entry.read_at.0 + 1), ..entry },
            Some(Mutation::RedisNoEpoch) => Provenance { epoch: log.epoch(), ..entry },
            _ => entry,
        }
    }

    /// Whether an entry of Redis may be served, by the real rule.
    pub(crate) fn admits_cached(&self, log: &Log, key: usize, entry: &Entry) -> bool {
        log.admit_cached(product(key), self.shown(log, entry.provenance)).is_ok()
    }

    /// Whether a row may be served, by the real rule, which may learn of an epoch from it.
    pub(crate) fn admits_row(&self, log: &mut Log, key: usize, entry: &Entry) -> bool {
        let shown = self.shown(log, entry.provenance);
        log.admit_row(product(key), shown).is_ok()
    }

    /// The near entry that a hit would serve, without a look at the floor.
    pub(crate) fn near_hit(&self, node: &Node, key: usize) -> Option<Entry> {
        let near = node.near[key]?;
        let is_served = near.kept.is_served_in(node.log.generation()) || self.mutation == Some(Mutation::NoGap);
        is_served.then_some(Entry { provenance: near.kept.provenance, write: near.write })
    }

    /// The `Catalog-As-Of` that the node shows.
    pub(crate) fn as_of(&self, node: &Node) -> Option<u8> {
        let real = node.log.as_of().map(tick);
        if self.mutation == Some(Mutation::AsOfBack) { real.and(node.ghost.last_beat) } else { real }
    }

    pub(crate) fn can_follow(world: &World, node: &Node) -> bool {
        node.unrefreshed.is_some() || usize::from(node.taken) != world.stream.len()
    }

    /// The follower's next step: one message, or the second half of one, or a new subscription to a shorter stream.
    pub(crate) fn follow(&self, world: &mut World, number: usize) {
        let stream = Arc::clone(&world.stream);
        let node = Arc::make_mut(&mut world.nodes[number]);
        if let Some((key, event)) = node.unrefreshed.take() {
            match self.mutation {
                Some(Mutation::EntryFirst) => {
                    self.take(node, stream[usize::from(node.taken) - 1]);
                }
                _ => refresh(node, key, event),
            }
            node.ghost.seen[key].raise(&event);
            return;
        }
        let Some(stored) = stream.get(usize::from(node.taken)) else {
            node.taken = 0;
            return;
        };
        node.taken += 1;
        let stored = *stored;
        if let (Some(Mutation::EntryFirst), Some((key, event))) = (self.mutation, stored.entry()) {
            refresh(node, key, event);
            node.unrefreshed = Some((key, event));
            return;
        }
        let applied = self.take(node, stored);
        if applied == Applied::Ignored {
            return;
        }
        match (stored.says, stored.entry()) {
            (Says::Beat { t, .. }, _) => node.ghost.last_beat = Some(t),
            (_, Some((key, event))) => {
                // Otherwise there is nothing to refresh: steps that do nothing only make the search longer.
                if node.near[key].is_some() {
                    node.unrefreshed = Some((key, event));
                } else {
                    node.ghost.seen[key].raise(&event);
                }
            }
            _ => {}
        }
    }

    fn take(&self, node: &mut Node, stored: Stored) -> Applied {
        let now = Duration::from_secs(node.now.into());
        let shown = self.shown_message(node, stored, now);
        let applied = node.log.apply(&shown.message(), now);
        if self.mutation == Some(Mutation::ForgetFurthest) {
            pretend(node, stored.link(), (stored.position + 1, PRETENDED), now);
        }
        renew_ghost(node);
        applied
    }

    /// The message as the rule gets to see it: a mutation hides from the real rule what that would act upon.
    fn shown_message(&self, node: &mut Node, stored: Stored, now: Duration) -> Stored {
        use Mutation::{ForgetDoubted, ForgetFurthest, LinkById, NoChain};
        if !matches!(self.mutation, Some(NoChain | LinkById | ForgetDoubted | ForgetFurthest)) {
            return stored;
        }
        let last = std::mem::replace(&mut node.ghost.last, stored.link());
        let follows = stored.previous == last;
        match self.mutation {
            Some(NoChain) => Stored { previous: last, ..stored },
            Some(LinkById) if stored.previous.1 == last.1 => Stored { previous: last, ..stored },
            Some(ForgetFurthest) if follows => Stored { previous: (last.0 + 1, PRETENDED), ..stored },
            Some(ForgetDoubted) if !follows => {
                pretend(node, last, (last.0 + 1, PRETENDED), now);
                stored
            }
            _ => stored,
        }
    }

    /// The horizon passes over everything remembered so far.
    pub(crate) fn pass_horizon(node: &mut Node) {
        node.now += 1;
        node.log.forget_old(Duration::from_secs(node.now.into()));
    }

    pub(crate) fn restart(world: &mut World, number: usize, taken: u8) {
        world.nodes[number] = Arc::new(Node::started(taken, HORIZON));
    }

    /// A flight reads R on the connection of its query.
    pub(crate) fn begin_flight(world: &mut World, number: usize, key: usize, source: Source) {
        let (read_at, boot) = match (source, &world.old_primary) {
            (Source::Primary, _) => (world.primary.position(), world.primary.boot),
            (Source::OldPrimary, Some(old)) => (old.position(), old.boot),
            _ => (world.replayed, 0),
        };
        let landed = Landed::Nothing;
        world.spent.spend(Limited::Flights);
        Arc::make_mut(&mut world.nodes[number]).flight = Some(Flight { key, source, boot, read_at, landed });
    }

    /// The flight's next step: the query, the admission, the keeping.
    pub(crate) fn step_flight(&self, world: &mut World, number: usize, flight: Flight) {
        match flight.landed {
            Landed::Nothing => {
                let landed = self.query(world, &flight).map(|read| Flight { landed: Landed::Read(read), ..flight });
                Arc::make_mut(&mut world.nodes[number]).flight = landed;
            }
            Landed::Read(read) => {
                let now_at = match flight.source {
                    Source::Replica => world.replayed,
                    _ => world.primary.position(),
                };
                let node = Arc::make_mut(&mut world.nodes[number]);
                node.flight = None;
                let read = self.as_admitted(node, read, now_at);
                if self.admits_row(&mut node.log, flight.key, &read) {
                    renew_ghost(node);
                    let generation = node.log.generation();
                    if self.mutation == Some(Mutation::AnswerFirst) {
                        self.answer(node, flight.key, &read);
                    }
                    node.flight = Some(Flight { landed: Landed::Admitted(read, generation), ..flight });
                }
            }
            Landed::Admitted(read, generation) => {
                let node = Arc::make_mut(&mut world.nodes[number]);
                node.flight = None;
                if node.log.has_begun() {
                    self.put(&mut world.redis[flight.key], &mut world.dump[flight.key], read, false);
                    self.keep(node, flight.key, read, generation);
                }
                // Each caller looks again for itself, after the entry is near: else the next hit could be older.
                if self.admits_row(&mut node.log, flight.key, &read) {
                    renew_ghost(node);
                    self.answer(node, flight.key, &read);
                }
            }
        }
    }

    /// What the flight's source shows, with the epoch in the same snapshot. `None`: the connection is gone.
    fn query(&self, world: &World, flight: &Flight) -> Option<Entry> {
        let (epoch, (at, write)) = match (flight.source, &world.old_primary) {
            (Source::Primary, _) => {
                if world.primary.boot != flight.boot && self.mutation != Some(Mutation::ROtherConn) {
                    return None;
                }
                (world.primary.epoch(), world.primary.row(flight.key, &world.writes))
            }
            (Source::OldPrimary, Some(old)) => (old.epoch(), old.row(flight.key, &world.writes)),
            _ => {
                let row = world.primary.row_replayed(flight.key, &world.writes, world.replayed);
                (world.primary.epoch_replayed(world.replayed), row)
            }
        };
        Some(entry(epoch.number, at, flight.read_at, write))
    }

    fn as_admitted(&self, node: &Node, read: Entry, now_at: u8) -> Entry {
        let mut read = read;
        match self.mutation {
            Some(Mutation::FillNoEpoch) if node.log.epoch() > Epoch(0) => read.provenance.epoch = node.log.epoch(),
            Some(Mutation::RAfter) => read.provenance.read_at = Position(now_at.into()),
            _ => {}
        }
        read
    }

    /// Takes note of an answer.
    pub(crate) fn answer(&self, node: &mut Node, key: usize, entry: &Entry) {
        if self.mutation != Some(Mutation::NoRFloor) {
            node.log.answered(product(key), entry.provenance);
        }
        if entry.provenance.epoch == node.log.epoch() || self.mutation.is_some() {
            node.ghost.answered[key].raise(entry);
        }
    }

    /// Puts an entry near, if it may be served at that very moment: no hit can come between the look and the insert.
    pub(crate) fn keep(&self, node: &mut Node, key: usize, read: Entry, generation: u64) {
        let Entry { provenance, write } = read;
        let present = node.log.generation();
        let kept = match self.mutation {
            Some(Mutation::NoRecheck) => (generation == present).then_some(Kept { provenance, generation }),
            _ => Kept::admitted(&node.log, product(key), self.shown(&node.log, provenance)).ok(),
        };
        // What the rule was shown is not what is kept.
        if let Some(kept) = kept.map(|kept| Kept { provenance, ..kept })
            && node.near[key].is_none_or(|near| near.kept.gives_way_to(kept))
        {
            node.near[key] = Some(Near { kept, write });
        }
    }

    /// Redis' script: the newer by epoch, version and R stays. Returns whether it was written.
    pub(crate) fn put(
        &self,
        held: &mut Option<Entry>,
        dump: &mut Option<Entry>,
        new: Entry,
        only_if_held: bool,
    ) -> bool {
        let is_newer = |old: &Entry| match self.mutation {
            Some(Mutation::RedisNoEpoch) => new.provenance.version > old.provenance.version,
            _ => new.provenance.is_newer_than(old.provenance),
        };
        let may = held.as_ref().map_or(!only_if_held, is_newer);
        if may {
            *dump = held.or(*dump);
            *held = Some(new);
        }
        may
    }
}

/// Lets the log hear a heartbeat that says nothing new, as if it stood in the stream at this position under this id.
fn pretend(node: &mut Node, previous: Link, (position, id): Link, now: Duration) {
    let epoch = u8::try_from(node.log.epoch().0).expect("the model makes few epochs");
    let heartbeat = Stored { id, previous, epoch, position, says: Says::Beat { t: 0, h: 0 } };
    node.log.apply(&heartbeat.message(), now);
}

/// An event's second half: the near entry that it finds is brought up to it.
fn refresh(node: &mut Node, key: usize, event: Entry) {
    let generation = node.log.generation();
    if let Some(near) = &mut node.near[key]
        && let Some(kept) = near.kept.followed_by(event.provenance, generation)
    {
        *near = Near { kept, write: event.write };
    }
}

/// In a new epoch nothing of the old one binds any more.
pub(crate) fn renew_ghost(node: &mut Node) {
    let epoch = node.log.epoch().0;
    if node.ghost.epoch != epoch {
        node.ghost = Ghost { epoch, last: node.ghost.last, ..Ghost::default() };
    }
}
