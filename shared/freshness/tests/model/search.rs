//! How states are visited: every one within bounds, or random walks with weights.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::Ordering;

use stateright::{Checker, Chooser, HasDiscoveries, Model as _, Path};

use crate::action::{Action, KINDS};
use crate::model::Model;
use crate::world::{NODES, World};

/// Two, as many as a small machine has.
const THREADS: usize = 2;
/// A walk ends after so many steps; the deepest failures known need some forty.
const WALK_STEPS: usize = 120;
/// A mutation that survives so many steps of random walks counts as not found.
const WALKED_MAX: usize = 40_000_000;

/// Visits every state within the limits. Returns how many there are; panics with the trace if a property is broken.
pub(crate) fn visit_all(model: &Model) -> usize {
    let checker =
        model.clone().checker().threads(THREADS).symmetry_fn(ordered).finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_dfs().join();
    if let Some((name, path)) = checker.discoveries().into_iter().next() {
        panic!("{name} is broken:\n{}", trace(model, name, path));
    }
    println!("{} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.unique_state_count()
}

/// Walks at random until the property is broken. Returns the trace.
pub(crate) fn walk_until_broken(model: &Model, name: &'static str, seed: u64) -> Option<String> {
    let until = HasDiscoveries::AnyOf([name].into());
    let checker =
        model.clone().checker().finish_when(until).target_max_depth(WALK_STEPS).target_state_count(WALKED_MAX);
    let checker = checker.spawn_simulation(seed, Weighted).join();
    println!("{} steps", checker.state_count());
    checker.discovery(name).map(|path| trace(model, name, path))
}

/// Walks at random for so many steps. Returns the steps taken; panics with the trace if a property is broken.
pub(crate) fn walk(model: &Model, steps: usize, seed: u64) -> usize {
    let checker = model.clone().checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures);
    let checker =
        checker.target_max_depth(WALK_STEPS).target_state_count(steps).spawn_simulation(seed, Weighted).join();
    if let Some((name, path)) = checker.discoveries().into_iter().next() {
        panic!("{name} is broken:\n{}", trace(model, name, path));
    }
    checker.state_count()
}

/// The kinds of steps that no search with this model has taken.
pub(crate) fn not_reached(model: &Model) -> Vec<&'static str> {
    let reached = model.reached.load(Ordering::Relaxed);
    KINDS.iter().enumerate().filter(|(bit, _)| reached & 1 << bit == 0).map(|(_, kind)| *kind).collect()
}

/// Nodes know nothing of each other, so that a state and the one with the nodes exchanged are the same.
fn ordered(world: &World) -> World {
    let mut world = world.clone();
    debug_assert_eq!(world.nodes.len(), NODES);
    world.nodes.sort_by_cached_key(|node| BuildHasherDefault::<DefaultHasher>::default().hash_one(node));
    world
}

/// The steps that break the property, without those that it breaks without.
fn trace(model: &Model, name: &str, path: Path<World, Action>) -> String {
    let mut actions = path.into_actions();
    let mut at = actions.len();
    while at > 0 {
        at -= 1;
        let mut fewer = actions.clone();
        fewer.remove(at);
        if breaks(model, name, &fewer) {
            actions = fewer;
        }
    }
    actions.iter().fold(String::new(), |text, action| text + &format!("    {action:?}\n"))
}

/// Whether the steps are possible one after the other, and break the property at last.
fn breaks(model: &Model, name: &str, actions: &[Action]) -> bool {
    let Some(mut world) = model.init_states().pop() else { return false };
    for action in actions {
        let mut possible = Vec::new();
        model.actions(&world, &mut possible);
        if !possible.contains(action) {
            return false;
        }
        let Some(next) = model.next_state(&world, *action) else { return false };
        world = next;
    }
    model.properties().iter().any(|property| property.name == name && !(property.condition)(model, &world))
}

/// Chooses steps with weights, so that rare faults stay rare and relays and nodes come forward.
#[derive(Clone)]
pub(crate) struct Weighted;

impl Chooser<Model> for Weighted {
    type State = u64;

    fn new_state(&self, seed: u64) -> u64 {
        seed
    }

    fn choose_initial_state(&self, _: &mut u64, _: &[World]) -> usize {
        0
    }

    fn choose_action(&self, state: &mut u64, _: &World, actions: &[Action]) -> usize {
        let total: u64 = actions.iter().map(|action| weight(*action)).sum();
        let mut left = next_random(state) % total;
        for (index, action) in actions.iter().enumerate() {
            let weight = weight(*action);
            if left < weight {
                return index;
            }
            left -= weight;
        }
        unreachable!("the weights add up to the total")
    }
}

fn weight(action: Action) -> u64 {
    match action {
        Action::Relay { .. } | Action::Follow { .. } | Action::Commit { .. } => 12,
        Action::Replay | Action::StepFlight { .. } => 8,
        Action::Insert { .. } => 6,
        Action::AnswerFromNear { .. } | Action::AnswerFromRedis { .. } | Action::BeginFlight { .. } => 3,
        Action::PassHorizon { .. } | Action::EvictNear { .. } | Action::Elect | Action::Project { .. } => 2,
        _ => 1,
    }
}

/// The generator "split mix 64": the same walks for the same seed, whatever the version of any crate.
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
