//! Runs a state to its end without further faults: everything that is under way arrives.

use std::sync::Arc;

use crate::model::Model;
use crate::world::{Entry, KEYS, NODES, Node, RELAYS, Relay, WRITERS, World, entry};

/// Turns that are enough: a fenced one, one that begins an epoch, one for the rows, one that only beats.
const TURNS: usize = 4;
/// Steps of one turn at most.
const STEPS: usize = 16;

/// Whether every node answers the newest version of everything in the end, and says so.
pub(crate) fn converges(model: &Model, world: &World) -> bool {
    let calm = Model { drains: false, ..model.clone() };
    let mut world = world.clone();
    for writer in 0..WRITERS {
        calm.commit(&mut world, writer);
    }
    // The old primary and zombies are gone; a new leader takes over.
    world.relays = [Relay::default(); RELAYS];
    for _ in 0..TURNS {
        turn(&calm, &mut world);
    }
    world.replayed = world.primary.position();
    for number in 0..NODES {
        // First the flight lands that has stood still, then the log is followed to its end.
        while let Some(flight) = world.nodes[number].flight {
            calm.step_flight(&mut world, number, flight);
        }
    }
    follow_all(&calm, &mut world);
    // A stream that has regrown to the length at which a node had stopped is noticed with the next message.
    turn(&calm, &mut world);
    world.replayed = world.primary.position();
    follow_all(&calm, &mut world);
    for stored in Arc::clone(&world.stream).iter() {
        if let Some((key, event)) = stored.entry() {
            calm.put(&mut world.redis[key], &mut None, event, true);
        }
    }
    (0..NODES).all(|number| {
        let node = &world.nodes[number];
        let is_caught_up = node.log.epoch().0 == u64::from(world.primary.epoch().number)
            && calm.as_of(node).is_some_and(|as_of| as_of == world.clock);
        is_caught_up && (0..KEYS).all(|key| answers_the_newest(&calm, &world, node, key))
    })
}

fn turn(model: &Model, world: &mut World) {
    let leader = world.leader;
    for step in 0..STEPS {
        if step > 0 && world.relays[leader] == Relay::default() {
            return;
        }
        model.step_relay(world, leader);
    }
}

fn follow_all(model: &Model, world: &mut World) {
    for number in 0..NODES {
        while Model::can_follow(world, &world.nodes[number]) {
            model.follow(world, number);
        }
    }
}

fn answers_the_newest(model: &Model, world: &World, node: &Node, key: usize) -> bool {
    let (version, write) = world.primary.row(key, &world.writes);
    let replica = entry(world.primary.epoch().number, version, world.replayed, write);
    let redis = world.redis[key].filter(|held| model.admits_cached(&node.log, key, held));
    let admitted = |row: &Entry| model.admits_row(&mut node.log.clone(), key, row);
    let answer = model.near_hit(node, key).or(redis).or(Some(replica).filter(admitted));
    answer.is_some_and(|answer| answer.write == write)
}
