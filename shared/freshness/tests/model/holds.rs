//! The rules as they are: every state within bounds, and random walks far beyond them.

use crate::limits::{Limited, Limits};
use crate::model::Model;
use crate::search::{not_reached, visit_all, walk};

/// Steps of the random walks with every fault: some seconds.
const WALKED: usize = 2_000_000;

#[test]
fn every_promise_holds_in_a_million_states_of_writes_fills_and_evictions() {
    use Limited::{Evictions, Flights, Horizons, Turns, Writes};
    let limits = Limits::of(&[(Writes, 2), (Turns, 1), (Flights, 1), (Horizons, 1), (Evictions, 1)]);
    let states = visit_all(&Model { limits, ..Model::default() });
    assert!(states > 1_000_000, "only {states} states");
}

#[test]
fn every_promise_holds_in_a_million_states_of_a_redis_that_loses_entries_and_brings_old_ones_back() {
    use Limited::{Evictions, Flights, Horizons, RedisLosses, Restores, Turns, Writes};
    let faults = [(RedisLosses, 1), (Restores, 1), (Horizons, 1), (Evictions, 1)];
    let limits = Limits::of(&[&[(Writes, 1), (Turns, 2), (Flights, 1)][..], &faults].concat());
    let states = visit_all(&Model { limits, ..Model::default() });
    assert!(states > 1_000_000, "only {states} states");
}

#[test]
fn every_promise_holds_and_everything_converges_with_two_leaders_a_shortened_stream_and_a_restarted_node() {
    use Limited::{Elections, Horizons, Restarts, Truncations, Turns, Writes};
    let faults = [(Elections, 1), (Truncations, 1), (Restarts, 1), (Horizons, 1)];
    let limits = Limits::of(&[&[(Writes, 1), (Turns, 2)][..], &faults].concat());
    visit_all(&Model { limits, drains: true, ..Model::default() });
}

#[test]
fn every_promise_holds_and_everything_converges_after_the_promotion_of_a_replica_that_lags() {
    use Limited::{Failovers, Flights, Turns, Writes};
    let limits = Limits::of(&[(Writes, 1), (Turns, 2), (Failovers, 1), (Flights, 1)]);
    visit_all(&Model { limits, has_old_primary: true, drains: true, ..Model::default() });
}

#[test]
fn every_kind_of_step_is_taken_and_no_random_walk_with_every_fault_breaks_a_promise() {
    use Limited::*;
    let faults = [(Elections, 2), (Truncations, 2), (Failovers, 2), (RedisLosses, 2), (Restores, 1), (Restarts, 2)];
    let rest = [(Writes, 4), (Turns, 8), (Horizons, 3), (Evictions, 3), (Flights, 6)];
    let limits = Limits::of(&[&faults[..], &rest].concat());
    let model = Model { limits, has_old_primary: true, ..Model::default() };
    walk(&model, WALKED, 7);
    walk(&Model { has_old_primary: false, ..model.clone() }, WALKED, 8);
    walk(&Model { drains: true, ..model.clone() }, WALKED / 4, 9);
    assert_eq!(not_reached(&model), Vec::<&str>::new());
}
