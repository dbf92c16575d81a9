//! The relay's turn, step by step, as the write service does it.

use std::sync::Arc;

use crate::database::{Database, EpochRow, Mark, Record, Rows};
use crate::limits::Limited;
use crate::model::Model;
use crate::mutation::Mutation;
use crate::world::{Relay, Says, Stage, Stored, World};

/// What a snapshot leads to.
enum Verdict {
    Continue,
    Begin(u8),
    Deposed,
}

impl Model {
    /// Whether a relay has a step to do.
    pub(crate) fn relay_can_step(&self, world: &World, number: usize) -> bool {
        let relay = &world.relays[number];
        let leads = !relay.is_zombie && (relay.is_old || world.leader == number);
        match relay.stage {
            Stage::Idle => leads && self.limits.allows(Limited::Turns, &world.spent),
            Stage::Publishing => true,
            _ => leads,
        }
    }

    pub(crate) fn step_relay(&self, world: &mut World, number: usize) {
        match world.relays[number].stage {
            Stage::Idle => {
                world.spent.spend(Limited::Turns);
                self.learn(world, number);
            }
            Stage::Learnt => self.select(world, number),
            Stage::Selected => self.stamp(world, number),
            Stage::Publishing => self.publish(world, number),
            Stage::Published => settle(world, number),
        }
    }

    /// The stream's end, then *t* and *h*. Nothing is lost by doing both at once: an end learnt earlier only fails more.
    fn learn(&self, world: &mut World, number: usize) {
        let (t, h) = (world.clock, database(world, number).position());
        let end = world.stream.last().map(Stored::link);
        let expected = length(world);
        let relay = &mut world.relays[number];
        *relay = Relay { stage: Stage::Learnt, t, h, expected, last: end.unwrap_or_default(), ..*relay };
        if matches!(self.mutation, Some(Mutation::TAfter | Mutation::HAfter)) {
            // The rows are then read here.
            relay.rows = Rows::default();
            let rows = database(world, number).pending();
            world.relays[number].rows = rows;
        }
    }

    /// The rows, the mark and the epoch, in one snapshot; and the decision which epoch it is.
    fn select(&self, world: &mut World, number: usize) {
        let database = Arc::clone(database(world, number));
        let row = database.epoch();
        let relay = world.relays[number];
        match self.decide(world, &database, &relay) {
            Verdict::Deposed => world.relays[number] = idle(relay),
            // A session that is opened anew leads to the present primary, where another one leads.
            Verdict::Begin(_) if relay.is_old && self.mutation != Some(Mutation::StaleSession) => {
                world.relays[number] = Relay::default();
            }
            Verdict::Begin(epoch) => {
                let mark = Mark { sequence: relay.expected, id: relay.last.1 };
                let begun = EpochRow { number: epoch, boot: database.boot, mark };
                database_mut(world, number).wal.push(Record::Epoch(begun));
                world.mints += 1;
                world.relays[number] = idle(relay);
            }
            Verdict::Continue => {
                let rows = match self.mutation {
                    Some(Mutation::TAfter | Mutation::HAfter) => relay.rows,
                    _ => database.pending(),
                };
                let held = self.held(world, row, relay.expected, rows);
                let mut next =
                    Relay { stage: Stage::Selected, epoch: row.number, rows, unsent: rows.without(held), ..relay };
                if relay.expected > row.mark.sequence && !self.publishes_before_it_settles() {
                    // What the stream holds after the mark is settled before anything follows it.
                    next = Relay { stage: Stage::Published, rows: held, unsent: Rows::default(), ..next };
                }
                match self.mutation {
                    Some(Mutation::TAfter) => (next.t, next.h) = (world.clock, database.position()),
                    Some(Mutation::HAfter) => next.h = database.position(),
                    _ => {}
                }
                world.relays[number] = next;
            }
        }
    }

    fn publishes_before_it_settles(&self) -> bool {
        matches!(self.mutation, Some(Mutation::SlowSettle | Mutation::NoSkip | Mutation::MsgId))
    }

    fn decide(&self, world: &World, database: &Database, relay: &Relay) -> Verdict {
        let row = database.epoch();
        let end_epoch = relay.expected.checked_sub(1).and_then(|end| world.stream.get(usize::from(end)));
        let end_epoch = end_epoch.map_or(0, |end| end.epoch);
        let clock = if self.mutation == Some(Mutation::Counter) { 0 } else { world.mints + 2 };
        let next = clock.max(row.number + 1).max(end_epoch + 1);
        if row.boot != database.boot && self.mutation != Some(Mutation::NoMint) {
            return Verdict::Begin(next);
        }
        if end_epoch > row.number {
            return Verdict::Deposed;
        }
        let at_mark = row.mark.sequence.checked_sub(1).and_then(|at| world.stream.get(usize::from(at)));
        let is_other = relay.expected < row.mark.sequence || at_mark.map_or(0, |held| held.id) != row.mark.id;
        if is_other && self.mutation != Some(Mutation::NoTrunc) {
            return Verdict::Begin(next);
        }
        Verdict::Continue
    }

    /// The rows that the stream already holds in this epoch after the mark.
    fn held(&self, world: &World, row: EpochRow, expected: u8, rows: Rows) -> Rows {
        let mut held = Rows::default();
        match self.mutation {
            Some(Mutation::NoSkip) => {}
            Some(Mutation::MsgId) => {
                let mut left = rows;
                while let Some(write) = left.take_first() {
                    let wanted = world.writes[usize::from(write) - 1];
                    let says = Says::Changed { key: wanted.key, version: wanted.version };
                    if world.stream.iter().any(|stored| stored.says == says) {
                        held.insert(write);
                    }
                }
            }
            _ => {
                let from = usize::from(row.mark.sequence.min(expected));
                let until = usize::from(expected).min(world.stream.len()).max(from);
                let after_mark = world.stream.get(from..until).unwrap_or_default();
                for stored in after_mark.iter().filter(|stored| stored.epoch == row.number) {
                    if matches!(stored.says, Says::Changed { .. }) {
                        held.insert(stored.id);
                    }
                }
            }
        }
        held
    }

    /// The position, which the events of this turn share.
    fn stamp(&self, world: &mut World, number: usize) {
        let position = database(world, number).position();
        let relay = &mut world.relays[number];
        let is_early = relay.rows.is_empty() || self.mutation == Some(Mutation::PositionEarly);
        relay.position = if is_early { relay.h } else { position };
        relay.stage = Stage::Publishing;
    }

    /// The next event, or the heartbeat after the last; each only if the stream ends with the one before it.
    fn publish(&self, world: &mut World, number: usize) {
        let mut relay = world.relays[number];
        let is_first = relay.unsent == relay.rows;
        // While the stream does not know the epoch, an old relay may go on in the one before as fast as it can: the end is
        // read anew right before. Nobody can have sent these rows, or later ones, in this epoch.
        let is_unknown = world.stream.last().map_or(0, |end| end.epoch) < relay.epoch;
        if is_first && (is_unknown || self.mutation == Some(Mutation::ExpLate)) {
            relay.expected = length(world);
            relay.last = world.stream.last().map(Stored::link).unwrap_or_default();
        }
        let event = relay.unsent.take_first();
        let says = event.map_or(Says::Beat { t: relay.t, h: relay.h }, |write| {
            let Some(written) = world.writes.get(usize::from(write) - 1) else { unreachable!("rows are writes") };
            Says::Changed { key: written.key, version: written.version }
        });
        let has_no_link = matches!(self.mutation, Some(Mutation::NoLink | Mutation::NoLinkNoChain));
        // All but the first also name the one before it in their pipeline.
        let is_linked = is_first || has_no_link || world.stream.last().map(Stored::link) == Some(relay.last);
        let is_fenced_off = (relay.expected != length(world) || !is_linked) && self.mutation != Some(Mutation::NoFence);
        let goes_on = has_no_link && event.is_some();
        if is_fenced_off && !goes_on {
            world.relays[number] = idle(relay);
            return;
        }
        let id = event.unwrap_or_else(|| Stored::beat_id(world.beats));
        if !is_fenced_off {
            let previous = match self.mutation {
                Some(Mutation::NoFence | Mutation::NoLinkNoChain) => {
                    world.stream.last().map(Stored::link).unwrap_or_default()
                }
                _ => relay.last,
            };
            let stored = Stored { id, previous, epoch: relay.epoch, position: relay.position, says };
            Arc::make_mut(&mut world.stream).push(stored);
        }
        relay.last = (relay.position, id);
        relay.expected += 1;
        if event.is_none() {
            world.beats += 1;
            relay.stage = Stage::Published;
        }
        world.relays[number] = if event.is_none() && relay.is_zombie { idle(relay) } else { relay };
    }
}

/// Deletes the rows and stores the mark, in one transaction, unless another epoch has begun.
fn settle(world: &mut World, number: usize) {
    let relay = world.relays[number];
    let database = database_mut(world, number);
    if database.epoch().number == relay.epoch {
        let mark = Mark { sequence: relay.expected, id: relay.last.1 };
        database.wal.push(Record::Settled(relay.rows, mark));
    }
    world.relays[number] = idle(relay);
}

/// The session is lost: another relay leads, and this one only sends what it has in hand.
pub(crate) fn elect(world: &mut World) {
    let before = world.leader;
    depose(&mut world.relays[before]);
    world.leader = (before + 1) % world.relays.len();
    world.relays[world.leader] = Relay::default();
}

/// What remains of a relay without its session.
pub(crate) fn depose(relay: &mut Relay) {
    if relay.stage == Stage::Publishing {
        relay.is_zombie = true;
    } else {
        *relay = Relay::default();
    }
}

fn idle(relay: Relay) -> Relay {
    Relay { is_old: relay.is_old && !relay.is_zombie, ..Relay::default() }
}

fn length(world: &World) -> u8 {
    u8::try_from(world.stream.len()).expect("the model's stream is short")
}

fn database(world: &World, number: usize) -> &Arc<Database> {
    match (&world.old_primary, world.relays[number].is_old) {
        (Some(old), true) => old,
        _ => &world.primary,
    }
}

fn database_mut(world: &mut World, number: usize) -> &mut Database {
    match (&mut world.old_primary, world.relays[number].is_old) {
        (Some(old), true) => Arc::make_mut(old),
        _ => Arc::make_mut(&mut world.primary),
    }
}
