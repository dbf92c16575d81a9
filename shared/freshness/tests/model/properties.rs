//! What must hold in every state, for every answer that could be given in it.
//!
//! A read is not a step: every answer that a node could give now is judged in every state. Only what an answer changes
//! is a step.

use events::{Epoch, Position};
use freshness::{Judgement, Provenance, Requirement};
use stateright::Property;

use crate::database::Database;
use crate::drain;
use crate::model::Model;
use crate::mutation::Mutation;
use crate::world::{Entry, KEYS, Landed, Node, Says, Source, World, Write, WriteId, product};

pub(crate) const NEVER_OLDER_THAN_FLOOR: &str = "never_older_than_floor";
pub(crate) const READ_YOUR_WRITES: &str = "read_your_writes_with_a_token";
pub(crate) const MONOTONIC: &str = "monotonic_reads_per_node";
pub(crate) const AS_OF: &str = "as_of_never_overstates";
pub(crate) const AS_OF_RISES: &str = "as_of_never_goes_back";
pub(crate) const NO_LOST_WRITE: &str = "no_lost_write_is_served";
pub(crate) const R_COVERS: &str = "an_entry_includes_what_its_r_covers";
pub(crate) const HONEST: &str = "no_honest_token_is_called_forged";
pub(crate) const CONVERGES: &str = "everything_converges";

const NAMES: [&str; 9] = [
    NEVER_OLDER_THAN_FLOOR,
    READ_YOUR_WRITES,
    MONOTONIC,
    AS_OF,
    AS_OF_RISES,
    NO_LOST_WRITE,
    R_COVERS,
    CONVERGES,
    HONEST,
];

/// The properties in the order of [`NAMES`]; each looks at its bit of what was judged when the state was made.
pub(crate) fn all() -> Vec<Property<Model>> {
    vec![
        Property::always(NAMES[0], |_: &Model, world: &World| world.broken & 1 == 0),
        Property::always(NAMES[1], |_: &Model, world: &World| world.broken & 1 << 1 == 0),
        Property::always(NAMES[2], |_: &Model, world: &World| world.broken & 1 << 2 == 0),
        Property::always(NAMES[3], |_: &Model, world: &World| world.broken & 1 << 3 == 0),
        Property::always(NAMES[4], |_: &Model, world: &World| world.broken & 1 << 4 == 0),
        Property::always(NAMES[5], |_: &Model, world: &World| world.broken & 1 << 5 == 0),
        Property::always(NAMES[6], |_: &Model, world: &World| world.broken & 1 << 6 == 0),
        Property::always(NAMES[7], |_: &Model, world: &World| world.broken & 1 << 7 == 0),
        Property::always(NAMES[8], |_: &Model, world: &World| world.broken & 1 << 8 == 0),
    ]
}

/// The properties that a state breaks. Also remembers the latest `as_of` shown.
pub(crate) fn broken(model: &Model, world: &mut World) -> u16 {
    let mut judge = Judge { model, world, broken: 0 };
    for number in 0..world.nodes.len() {
        let node = &world.nodes[number];
        judge.judge_as_of(node);
        for key in 0..KEYS {
            judge.judge_answers(node, key);
        }
    }
    for primary in world.old_primary.iter().chain([&world.primary]) {
        judge.judge_honesty(primary);
    }
    if model.drains && !drain::converges(model, world) {
        judge.fail(CONVERGES);
    }
    let broken = judge.broken;
    for number in 0..world.nodes.len() {
        let as_of = model.as_of(&world.nodes[number]);
        if as_of > world.nodes[number].ghost.as_of {
            std::sync::Arc::make_mut(&mut world.nodes[number]).ghost.as_of = as_of;
        }
    }
    broken
}

struct Judge<'w> {
    model: &'w Model,
    world: &'w World,
    broken: u16,
}

impl Judge<'_> {
    fn fail(&mut self, name: &str) {
        let bit = NAMES.iter().position(|known| *known == name).expect("the name is one of the properties'");
        self.broken |= 1 << bit;
    }

    fn require(&mut self, name: &str, holds: bool) {
        if !holds {
            self.fail(name);
        }
    }

    fn judge_as_of(&mut self, node: &Node) {
        let shown = self.model.as_of(node);
        self.require(AS_OF_RISES, shown.is_none() || shown >= node.ghost.as_of);
        let Some((key, entry)) = node.held else { return };
        match self.model.mutation {
            Some(Mutation::AsOfLate) if self.is_present(node) => self.judge_promise(node, key, &entry),
            Some(Mutation::TokLate) => self.judge_tokens(node, key, &entry, None),
            _ => {}
        }
    }

    fn judge_answers(&mut self, node: &Node, key: usize) {
        if let Some(entry) = self.model.near_hit(node, key) {
            self.judge_answer(node, key, &entry, None);
        }
        if let Some(entry) = &self.world.redis[key]
            && self.model.admits_cached(&node.log, key, entry)
        {
            self.judge_answer(node, key, entry, None);
        }
        let Some(flight) = node.flight.filter(|flight| flight.key == key) else { return };
        let (Landed::Read(entry) | Landed::Admitted(entry, _)) = flight.landed else { return };
        let from =
            if flight.source == Source::Replica { freshness::Database::Replica } else { freshness::Database::Primary };
        // A row of a higher epoch would tell the node of that epoch; its `as_of` would be none.
        if entry.provenance.epoch == node.log.epoch()
            && self.model.admits_row(&mut node.log.clone(), key, &entry)
            && self.model.mutation != Some(Mutation::RAfter)
        {
            self.judge_answer(node, key, &entry, Some(from));
        }
    }

    /// Judges an answer that the node could give now to one who asks now; `from` is none for a cached one.
    fn judge_answer(&mut self, node: &Node, key: usize, entry: &Entry, from: Option<freshness::Database>) {
        if self.is_present(node) {
            self.judge_floors(node, key, entry, from);
            self.judge_promise(node, key, entry);
        }
        self.judge_covered(key, entry);
        self.judge_tokens(node, key, entry, from);
    }

    fn judge_tokens(&mut self, node: &Node, key: usize, entry: &Entry, from: Option<freshness::Database>) {
        for write in &self.world.writes {
            self.judge_token(node, key, entry, from, write);
        }
    }

    /// Whether the present epoch is made and has reached the node. Between a failover and then, two histories have one
    /// number, and nothing is promised but what tokens say.
    fn is_present(&self, node: &Node) -> bool {
        let primary = &self.world.primary;
        let is_vouched_for = primary.vouches() || self.model.mutation == Some(Mutation::NoMint);
        is_vouched_for && u64::from(primary.epoch().number) == node.log.epoch().0
    }

    /// Nothing is older than what the node has seen or answered before.
    fn judge_floors(&mut self, node: &Node, key: usize, entry: &Entry, from: Option<freshness::Database>) {
        let seen = node.ghost.seen[key];
        self.require(NEVER_OLDER_THAN_FLOOR, !self.survives(seen.write) || self.includes(entry, seen.write));
        // Callers of a flight look again when it has landed; what they then get is judged when it is near.
        let answered = node.ghost.answered[key];
        if from.is_none() && self.survives(answered.write) {
            self.require(MONOTONIC, self.includes(entry, answered.write));
        }
    }

    /// What `Catalog-As-Of` says, and that nothing lost is served.
    fn judge_promise(&mut self, node: &Node, key: usize, entry: &Entry) {
        self.require(NO_LOST_WRITE, self.survives(entry.write));
        if let Some(t) = self.model.as_of(node) {
            let required = self.required(key, |acknowledged| acknowledged < t);
            self.require(AS_OF, self.includes(entry, required));
        }
    }

    /// An entry includes every surviving change whose event has a position strictly below R.
    fn judge_covered(&mut self, key: usize, entry: &Entry) {
        let mut provenance = entry.provenance;
        if self.model.mutation == Some(Mutation::Le) {
            provenance.read_at.0 += 1;
        }
        for stored in self.world.stream.iter() {
            let Says::Changed { key: changed, .. } = stored.says else { continue };
            let is_covered = changed == key
                && provenance.epoch.0 == u64::from(stored.epoch)
                && provenance.covers(Position(stored.position.into()))
                && self.survives(stored.id);
            self.require(R_COVERS, !is_covered || self.includes(entry, stored.id));
        }
    }

    /// A write's own token is never refused for good, whichever primary is asked and whatever became of the write.
    fn judge_honesty(&mut self, primary: &Database) {
        let vouches = primary.vouches() || self.model.mutation == Some(Mutation::JudgeAnyEpoch);
        let (epoch, position) = (Epoch(primary.epoch().number.into()), Position(primary.position().into()));
        for (_, token) in self.world.writes.iter().filter_map(|write| write.acknowledged) {
            let judgement = Requirement::from(token).judge_by_primary(epoch, vouches, position);
            self.require(HONEST, judgement != Judgement::Forged);
        }
    }

    /// Whoever sends the token of a write that survives gets that write, and whatever was acknowledged before it.
    fn judge_token(
        &mut self,
        node: &Node,
        key: usize,
        entry: &Entry,
        from: Option<freshness::Database>,
        write: &Write,
    ) {
        let Some((acknowledged, token)) = write.acknowledged else { return };
        let Some(number) = self.world.writes.iter().position(|other| std::ptr::eq(other, write)) else { return };
        if !self.survives(u8::try_from(number + 1).expect("the model writes little")) {
            return;
        }
        let mut shown = from;
        let mut is_met = false;
        match self.model.mutation {
            Some(Mutation::TokLe) => {
                let mut smaller = token;
                smaller.position.0 -= 1;
                is_met = smaller.is_met_by_log(&node.log);
            }
            Some(Mutation::TokByCachedR) => shown = from.or(Some(freshness::Database::Primary)),
            Some(Mutation::TokPrimaryGe) => shown = from.and(Some(freshness::Database::Replica)),
            Some(Mutation::JoinAny) => is_met = from.is_some(),
            _ => {}
        }
        let Provenance { epoch, read_at, .. } = entry.provenance;
        is_met |= token.is_met_by_version(product(key), entry.provenance)
            || token.is_met_by_log(&node.log)
            || shown.is_some_and(|database| token.is_met_by_database(database, epoch, read_at));
        if is_met {
            let required = self.required(key, |other| other <= acknowledged);
            self.require(READ_YOUR_WRITES, self.includes(entry, required));
        }
    }

    /// The newest surviving write of a key among those acknowledged so early.
    fn required(&self, key: usize, is_early: impl Fn(u8) -> bool) -> WriteId {
        let writes = self.world.writes.iter().zip(1..);
        let of_key = writes.filter(|(write, _)| write.key == key);
        let early = of_key.filter(|(write, _)| write.acknowledged.is_some_and(|(at, _)| is_early(at)));
        early.map(|(_, number)| number).filter(|number| self.survives(*number)).last().unwrap_or(0)
    }

    fn survives(&self, write: WriteId) -> bool {
        self.world.primary.has(write)
    }

    /// Whether an entry's content came from this write or from a later change of it. A version alone does not say: after
    /// a failover a lost write and another one have the same.
    fn includes(&self, entry: &Entry, write: WriteId) -> bool {
        let mut content = entry.write;
        while content > write {
            content = self.world.writes[usize::from(content) - 1].before;
        }
        content == write
    }
}
