//! The model: which steps there are, and what each does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use events::{Epoch, Position};
use freshness::Token;
use stateright::Property;

use crate::action::Action;
use crate::database::{Database, Record};
use crate::limits::{Limited, Limits, Spent};
use crate::mutation::Mutation;
use crate::world::{Flight, KEYS, NODES, Node, RELAYS, Relay, WRITERS, World, Write, WriteId, product, version};
use crate::{properties, relay};

/// Everything remembered is older than that as soon as the node's clock moves.
pub(crate) const HORIZON: Duration = Duration::ZERO;

/// Rules, bounds, and what is left out of the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) limits: Limits,
    pub(crate) mutation: Option<Mutation>,
    /// Steps to take before the search begins.
    pub(crate) prelude: Vec<Action>,
    /// Whether the primary goes on, isolated, after a failover.
    pub(crate) has_old_primary: bool,
    /// Whether every state is also driven to its end, to see that it converges.
    pub(crate) drains: bool,
    /// The kinds of steps taken, as bits.
    pub(crate) reached: Arc<AtomicU64>,
}

impl Model {
    /// The state before anything has happened: an empty catalogue in epoch 1, and nodes that hear the stream from its start.
    fn empty() -> World {
        World {
            clock: 0,
            mints: 0,
            writes: Vec::new(),
            writers: [None; WRITERS],
            primary: Arc::new(Database::first()),
            old_primary: None,
            replayed: 1,
            stream: Arc::default(),
            beats: 0,
            relays: [Relay::default(); RELAYS],
            leader: 0,
            redis: [None; KEYS],
            dump: [None; KEYS],
            nodes: [0; NODES].map(|taken| Arc::new(Node::started(taken, HORIZON))),
            spent: Spent::default(),
            broken: 0,
        }
    }

    fn step(&self, world: &mut World, action: Action) {
        match action {
            Action::Insert { writer, key } => insert(world, writer, key),
            Action::Commit { writer } => self.commit(world, writer),
            Action::Replay => world.replayed += 1,
            Action::Relay { number, .. } => self.step_relay(world, number),
            Action::Elect => {
                world.spent.spend(Limited::Elections);
                relay::elect(world);
            }
            Action::Truncate { length } => {
                world.spent.spend(Limited::Truncations);
                Arc::make_mut(&mut world.stream).truncate(length);
            }
            Action::Failover => self.fail_over(world),
            Action::Project { message } => {
                if let Some((key, entry)) = world.stream[message].entry() {
                    self.put(&mut world.redis[key], &mut world.dump[key], entry, true);
                }
            }
            Action::LoseEntry { key } => {
                world.spent.spend(Limited::RedisLosses);
                world.dump[key] = world.redis[key].take();
            }
            Action::Flush => {
                world.spent.spend(Limited::RedisLosses);
                world.dump = std::mem::take(&mut world.redis);
            }
            Action::Restore { key } => {
                world.spent.spend(Limited::Restores);
                world.redis[key] = world.dump[key];
            }
            Action::Follow { node } => self.follow(world, node),
            Action::PassHorizon { node } => {
                world.spent.spend(Limited::Horizons);
                Self::pass_horizon(Arc::make_mut(&mut world.nodes[node]));
            }
            Action::Restart { node, taken } => {
                world.spent.spend(Limited::Restarts);
                Self::restart(world, node, u8::try_from(taken).expect("the stream is short"));
            }
            Action::EvictNear { node, key } => {
                world.spent.spend(Limited::Evictions);
                Arc::make_mut(&mut world.nodes[node]).near[key] = None;
            }
            Action::BeginFlight { node, key, source } => Self::begin_flight(world, node, key, source),
            Action::StepFlight { node, .. } => {
                let flight: Flight = world.nodes[node].flight.expect("the step is offered to a flight only");
                self.step_flight(world, node, flight);
            }
            Action::AnswerFromNear { node, key } => {
                let node = Arc::make_mut(&mut world.nodes[node]);
                if let Some(entry) = self.near_hit(node, key) {
                    node.ghost.answered[key].raise(&entry);
                }
            }
            Action::AnswerFromRedis { node, key } => {
                let Some(entry) = world.redis[key] else { return };
                let node = Arc::make_mut(&mut world.nodes[node]);
                self.keep(node, key, entry, node.log.generation());
                self.answer(node, key, &entry);
            }
            Action::Hold { node, key } => {
                world.spent.spend(Limited::Holds);
                let redis = world.redis[key];
                let node = Arc::make_mut(&mut world.nodes[node]);
                node.held = self.near_hit(node, key).or(redis).map(|entry| (key, entry));
            }
        }
    }

    /// The commit becomes visible, and the writer is told at once: an answer that came later would promise less.
    pub(crate) fn commit(&self, world: &mut World, writer: usize) {
        let Some(write) = world.writers[writer].take() else { return };
        let primary = Arc::make_mut(&mut world.primary);
        primary.invisible = primary.invisible.without(one(write));
        let written = &mut world.writes[usize::from(write) - 1];
        let position = match self.mutation {
            Some(Mutation::TokInStmt) => {
                let commit = primary.wal.iter().position(|record| *record == Record::Written(write));
                u64::try_from(commit.unwrap_or_default()).expect("short")
            }
            _ => primary.position().into(),
        };
        let vouches = primary.vouches() || matches!(self.mutation, Some(Mutation::TokOldEpoch | Mutation::NoMint));
        let epoch = Epoch(if vouches { primary.epoch().number.into() } else { 0 });
        let product = Some((product(written.key), version(written.version)));
        written.acknowledged = Some((world.clock, Token { epoch, position: Position(position), product }));
        world.clock += 1;
    }

    /// The replica is promoted as far as it is; the writers lose their connections, the leader stays with the old server.
    fn fail_over(&self, world: &mut World) {
        world.spent.spend(Limited::Failovers);
        let promoted = Arc::new(world.primary.promoted(world.replayed));
        let before = std::mem::replace(&mut world.primary, promoted);
        world.replayed = world.primary.position();
        world.writers = [None; WRITERS];
        for relay in &mut world.relays {
            if relay.is_old {
                // Its server is gone for good with the second failover.
                relay.is_old = false;
                relay::depose(relay);
            }
        }
        let deposed = world.leader;
        if self.has_old_primary {
            world.relays[deposed].is_old = true;
            world.old_primary = Some(before);
            world.leader = (deposed + 1) % RELAYS;
            world.relays[world.leader] = Relay::default();
        } else {
            relay::elect(world);
        }
    }
}

/// The commit record of a new version is in the log; nobody can see it yet.
fn insert(world: &mut World, writer: usize, key: usize) {
    world.spent.spend(Limited::Writes);
    let (version, before) = world.primary.row(key, &world.writes);
    world.writes.push(Write { key, version: version + 1, before, acknowledged: None });
    let write = WriteId::try_from(world.writes.len()).expect("the model writes little");
    let primary = Arc::make_mut(&mut world.primary);
    primary.wal.push(Record::Written(write));
    primary.invisible.insert(write);
    world.writers[writer] = Some(write);
}

fn one(write: WriteId) -> crate::database::Rows {
    let mut rows = crate::database::Rows::default();
    rows.insert(write);
    rows
}

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let mut world = Self::empty();
        for action in &self.prelude {
            let mut possible = Vec::new();
            self.actions(&world, &mut possible);
            assert!(possible.contains(action), "{action:?} is not possible; {possible:?} are");
            world = self.next_state(&world, *action).expect("every step leads somewhere");
        }
        vec![world]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.write_actions(world, actions);
        self.fault_actions(world, actions);
        for node in 0..NODES {
            self.node_actions(world, node, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        if let Some(kind) = action.kind()
            && self.reached.load(Ordering::Relaxed) & 1 << kind == 0
        {
            self.reached.fetch_or(1 << kind, Ordering::Relaxed);
        }
        let mut next = world.clone();
        self.step(&mut next, action);
        if !self.limits.allows(Limited::Restores, &next.spent) {
            next.dump = Default::default();
        }
        next.broken = properties::broken(self, &mut next);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
