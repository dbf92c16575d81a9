//! Which steps a state offers. Only those that change something: the rest would merely make the search longer.

use crate::action::Action;
use crate::limits::Limited;
use crate::model::Model;
use crate::mutation::Mutation;
use crate::world::{KEYS, Landed, RELAYS, Source, WRITERS, World};

impl Model {
    pub(crate) fn write_actions(&self, world: &World, actions: &mut Vec<Action>) {
        for writer in 0..WRITERS {
            // Writers without a change under way are alike: the first of them begins.
            let is_first_idle = world.writers.iter().position(Option::is_none) == Some(writer);
            match world.writers[writer] {
                Some(_) => actions.push(Action::Commit { writer }),
                None if is_first_idle && self.limits.allows(Limited::Writes, &world.spent) => {
                    // The row's lock: one change of a product at a time.
                    let is_locked = |key: &usize| {
                        world.writers.iter().flatten().any(|write| world.writes[usize::from(*write) - 1].key == *key)
                    };
                    // Products are alike too: the first one written is the first.
                    let keys = if world.writes.is_empty() { 0..1 } else { 0..KEYS };
                    let free = keys.filter(|key| !is_locked(key));
                    actions.extend(free.map(|key| Action::Insert { writer, key }));
                }
                None => {}
            }
        }
        if world.replayed < world.primary.position() {
            actions.push(Action::Replay);
        }
        let able = (0..RELAYS).filter(|number| self.relay_can_step(world, *number));
        actions.extend(able.map(|number| Action::Relay { number, stage: world.relays[number].stage }));
    }

    pub(crate) fn fault_actions(&self, world: &World, actions: &mut Vec<Action>) {
        let allows = |kind| self.limits.allows(kind, &world.spent);
        if allows(Limited::Elections) {
            actions.push(Action::Elect);
        }
        if allows(Limited::Truncations) {
            actions.extend((0..world.stream.len()).map(|length| Action::Truncate { length }));
        }
        if allows(Limited::Failovers) {
            actions.push(Action::Failover);
        }
        if allows(Limited::RedisLosses) {
            let held = (0..KEYS).filter(|key| world.redis[*key].is_some());
            actions.extend(held.map(|key| Action::LoseEntry { key }));
            if world.redis.iter().all(Option::is_some) {
                actions.push(Action::Flush);
            }
        }
        if allows(Limited::Restores) {
            let other = (0..KEYS).filter(|key| world.dump[*key].is_some() && world.dump[*key] != world.redis[*key]);
            actions.extend(other.map(|key| Action::Restore { key }));
        }
        for (message, stored) in world.stream.iter().enumerate() {
            let Some((key, entry)) = stored.entry() else { continue };
            if self.put(&mut world.redis[key].clone(), &mut None, entry, true) {
                actions.push(Action::Project { message });
            }
        }
    }

    pub(crate) fn node_actions(&self, world: &World, node: usize, actions: &mut Vec<Action>) {
        let allows = |kind| self.limits.allows(kind, &world.spent);
        let state = &world.nodes[node];
        if Self::can_follow(world, state) {
            actions.push(Action::Follow { node });
        }
        if allows(Limited::Horizons) && state.log.remembered() > 0 {
            actions.push(Action::PassHorizon { node });
        }
        if allows(Limited::Restarts) {
            actions.extend((0..world.stream.len()).map(|taken| Action::Restart { node, taken }));
        }
        match state.flight {
            Some(flight) => {
                let step = match flight.landed {
                    Landed::Nothing => 0,
                    Landed::Read(_) => 1,
                    Landed::Admitted(..) => 2,
                };
                actions.push(Action::StepFlight { node, step });
            }
            None if allows(Limited::Flights) => {
                for key in 0..KEYS {
                    actions.push(Action::BeginFlight { node, key, source: Source::Primary });
                    actions.push(Action::BeginFlight { node, key, source: Source::Replica });
                    if world.old_primary.is_some() {
                        actions.push(Action::BeginFlight { node, key, source: Source::OldPrimary });
                    }
                }
            }
            None => {}
        }
        for key in 0..KEYS {
            let near = self.near_hit(state, key);
            if near.is_some_and(|entry| entry.version() > state.ghost.answered[key].version) {
                actions.push(Action::AnswerFromNear { node, key });
            }
            if near.is_some() && allows(Limited::Evictions) {
                actions.push(Action::EvictNear { node, key });
            }
            let redis = world.redis[key].filter(|entry| self.admits_cached(&state.log, key, entry));
            if redis.is_some_and(|entry| near.is_none_or(|near| entry.provenance.is_newer_than(near.provenance))) {
                actions.push(Action::AnswerFromRedis { node, key });
            }
            let looks_late = matches!(self.mutation, Some(Mutation::AsOfLate | Mutation::TokLate));
            let can_hold = looks_late && allows(Limited::Holds) && state.held.is_none();
            if can_hold && near.or(redis).is_some() {
                actions.push(Action::Hold { node, key });
            }
        }
    }
}
