//! The rules with one left out: each must break a property, by name.

use crate::action::Action;
use crate::limits::{Limited, Limits};
use crate::model::Model;
use crate::mutation::Mutation;
use crate::properties::{
    AS_OF, AS_OF_RISES, CONVERGES, HONEST, MONOTONIC, NEVER_OLDER_THAN_FLOOR, NO_LOST_WRITE, R_COVERS, READ_YOUR_WRITES,
};
use crate::search::{visit_all, walk, walk_until_broken};
use crate::world::{Source, Stage};

/// One relay, no failover: nodes, fills and tokens.
fn calm() -> Limits {
    use Limited::*;
    Limits::of(&[(Writes, 3), (Turns, 4), (Horizons, 2), (Evictions, 2), (Flights, 4), (RedisLosses, 1), (Holds, 2)])
}

/// Two relays and a stream that may lose its end.
fn stormy() -> Limits {
    use Limited::*;
    Limits::of(&[
        (Writes, 3),
        (Turns, 6),
        (Elections, 2),
        (Truncations, 1),
        (Horizons, 2),
        (Restarts, 2),
        (Evictions, 1),
        (Flights, 4),
        (RedisLosses, 1),
    ])
}

/// Promotions of a replica that lags.
fn promoted() -> Limits {
    use Limited::*;
    Limits::of(&[
        (Writes, 4),
        (Turns, 6),
        (Failovers, 1),
        (Horizons, 1),
        (Evictions, 1),
        (Flights, 4),
        (RedisLosses, 1),
        (Restarts, 1),
    ])
}

fn breaks(mutation: Mutation, limits: Limits, property: &'static str) {
    breaks_after(Vec::new(), mutation, limits, property);
}

fn breaks_after(prelude: Vec<Action>, mutation: Mutation, limits: Limits, property: &'static str) {
    let model = Model { limits, prelude, mutation: Some(mutation), has_old_primary: true, ..Model::default() };
    let trace = walk_until_broken(&model, property, 1);
    println!("{mutation:?} breaks {property}:\n{}", trace.as_deref().unwrap_or("not found"));
    assert!(trace.is_some(), "{mutation:?} does not break {property}");
}

macro_rules! breaks {
    ($($test:ident: $mutation:ident, $limits:ident, $property:ident;)*) => {
        $(#[test]
        fn $test() {
            breaks(Mutation::$mutation, $limits(), $property);
        })*
    };
}

breaks! {
    as_of_read_after_the_entry_overstates: AsOfLate, calm, AS_OF;
    a_fill_kept_without_a_second_look_is_stale: NoRecheck, calm, AS_OF;
    an_entry_older_than_the_tail_is_stale: NoR, calm, AS_OF;
    an_entry_as_old_as_the_tail_is_stale: GeStart, calm, AS_OF;
    an_r_read_after_the_query_overstates: RAfter, calm, R_COVERS;
    an_event_at_the_very_r_need_not_be_included: Le, calm, R_COVERS;
    t_read_after_the_rows_overstates: TAfter, calm, AS_OF;
    h_read_after_the_rows_overstates: HAfter, calm, READ_YOUR_WRITES;
    a_log_at_the_tokens_position_may_lack_the_write: TokLe, calm, READ_YOUR_WRITES;
    a_log_asked_about_the_token_after_the_look_proves_nothing: TokLate, calm, READ_YOUR_WRITES;
    a_position_read_in_the_writing_statement_is_too_low: TokInStmt, calm, READ_YOUR_WRITES;
    a_token_with_the_epoch_of_the_lost_primary_is_met_by_lost_writes: TokOldEpoch, promoted, READ_YOUR_WRITES;
    the_r_of_a_cached_entry_says_nothing_of_a_token: TokByCachedR, calm, READ_YOUR_WRITES;
    a_primary_at_the_tokens_position_may_lack_the_write: TokPrimaryGe, calm, READ_YOUR_WRITES;
    publishing_without_a_fence_overstates: NoFence, stormy, AS_OF;
    a_pipeline_whose_head_was_refused_unseen_overstates: NoLinkNoChain, stormy, AS_OF;
    a_gap_that_is_not_seen_overstates: NoChain, stormy, AS_OF;
    a_fence_learnt_after_the_rows_overstates: ExpLate, stormy, AS_OF;
    a_position_read_before_the_rows_is_no_upper_bound: PositionEarly, calm, AS_OF;
    answers_that_raise_no_floor_let_the_next_go_back: NoRFloor, calm, MONOTONIC;
    redis_without_epochs_serves_lost_writes: RedisNoEpoch, promoted, NO_LOST_WRITE;
    a_fill_without_an_epoch_serves_lost_writes: FillNoEpoch, promoted, NO_LOST_WRITE;
    a_promoted_server_in_the_old_epoch_serves_lost_writes: NoMint, promoted, NO_LOST_WRITE;
    a_stream_that_lost_its_end_overstates: NoTrunc, stormy, AS_OF;
    a_counted_epoch_is_used_twice: Counter, twice_promoted, NO_LOST_WRITE;
    without_floors_answers_are_older_than_the_log: NoFloor, calm, NEVER_OLDER_THAN_FLOOR;
    whoever_joins_any_flight_may_miss_his_own_write: JoinAny, calm, READ_YOUR_WRITES;
    a_heartbeat_heard_again_takes_as_of_back: AsOfBack, stormy, AS_OF_RISES;
    an_entry_refreshed_before_its_floor_is_raised_is_stale: EntryFirst, calm, AS_OF;
    a_primary_without_an_epoch_of_its_own_calls_honest_tokens_forged: JudgeAnyEpoch, promoted, HONEST;
    a_near_cache_that_outlives_a_gap_is_stale: NoGap, stormy, AS_OF;
    a_caller_answered_before_the_entry_is_near_lets_the_next_go_back: AnswerFirst, calm, MONOTONIC;
}

/// Two promotions, the second of which loses the first one's epoch, and the stream its end.
fn twice_promoted() -> Limits {
    use Limited::*;
    Limits::of(&[
        (Writes, 4),
        (Turns, 8),
        (Failovers, 2),
        (Truncations, 1),
        (Flights, 3),
        (Evictions, 1),
        (RedisLosses, 1),
        (Restarts, 1),
    ])
}

/// Five writes that the replica lacks, and a flight that has read R beside them when the replica is promoted.
#[test]
fn an_r_of_another_server_overstates() {
    use Limited::*;
    let mut prelude: Vec<Action> = [0, 1, 0, 1, 0].into_iter().flat_map(write).collect();
    prelude.push(Action::BeginFlight { node: 0, key: 0, source: Source::Primary });
    prelude.push(Action::Failover);
    let limits = Limits::of(&[(Writes, 6), (Failovers, 1), (Turns, 4), (Horizons, 1), (Flights, 1)]);
    breaks_after(prelude, Mutation::ROtherConn, limits, AS_OF);
}

/// The stream and Redis know a product; a turn has published a change of another, two of this one and a heartbeat, and
/// is not settled when the leader changes.
fn unsettled() -> Vec<Action> {
    let mut prelude = turn(0, 1);
    prelude.push(Action::Follow { node: 0 });
    prelude.push(Action::BeginFlight { node: 0, key: 1, source: Source::Primary });
    prelude.extend((0..3).map(|step| Action::StepFlight { node: 0, step }));
    prelude.extend([write(0), write(1), write(1)].concat());
    prelude.extend(turn(0, 4));
    prelude.pop();
    prelude.push(Action::Elect);
    // Another write, whose record moves the position on.
    prelude.push(Action::Insert { writer: 0, key: 0 });
    prelude
}

/// The other node has heard all of that, and the stream loses what is not settled.
fn unsettled_and_lost() -> Vec<Action> {
    let heard = [Action::Follow { node: 1 }; 5];
    [unsettled(), heard.to_vec(), vec![Action::Truncate { length: 1 }]].concat()
}

fn losing() -> Limits {
    use Limited::*;
    Limits::of(&[(Writes, 4), (Turns, 5), (Elections, 2), (Truncations, 1), (Horizons, 1), (Flights, 1)])
}

#[test]
fn rows_sent_twice_overstate() {
    breaks_after(unsettled(), Mutation::NoSkip, losing(), AS_OF);
}

#[test]
fn a_turn_published_behind_one_that_is_not_settled_lets_events_come_again() {
    let prelude = [unsettled(), turn(1, 1).into_iter().take(4).collect(), vec![Action::Elect]].concat();
    breaks_after(prelude, Mutation::SlowSettle, losing(), NEVER_OLDER_THAN_FLOOR);
}

#[test]
fn a_forgotten_turn_that_is_not_settled_lets_events_come_again() {
    breaks_after(unsettled_and_lost(), Mutation::ForgetFurthest, losing(), NEVER_OLDER_THAN_FLOOR);
}

#[test]
fn a_turn_forgotten_after_a_gap_lets_events_come_again() {
    breaks_after(unsettled_and_lost(), Mutation::ForgetDoubted, losing(), NEVER_OLDER_THAN_FLOOR);
}

#[test]
fn a_link_without_the_position_takes_events_that_come_again_for_those_known() {
    breaks_after(unsettled(), Mutation::LinkById, losing(), NEVER_OLDER_THAN_FLOOR);
}

#[test]
fn with_every_rule_nothing_breaks_where_turns_come_again() {
    for prelude in [unsettled(), unsettled_and_lost()] {
        walk(&Model { limits: losing(), prelude, ..Model::default() }, 500_000, 3);
    }
}

/// A replica is promoted and has made its epoch; the stream loses all that it held, and the relay of the old primary
/// sees that its mark is gone.
#[test]
fn an_old_primary_that_begins_an_epoch_when_the_stream_is_lost_deposes_the_new_one() {
    use Limited::*;
    let mut prelude = turn(0, 1);
    prelude.push(Action::Failover);
    prelude.extend([Stage::Idle, Stage::Learnt].map(|stage| Action::Relay { number: 1, stage }));
    prelude.push(Action::Truncate { length: 0 });
    let limits = Limits::of(&[(Turns, 6), (Failovers, 1), (Truncations, 1)]);
    let model = Model { limits, prelude, has_old_primary: true, drains: true, ..Model::default() };
    let stale = Model { mutation: Some(Mutation::StaleSession), ..model.clone() };
    visit_all(&model);
    assert!(walk_until_broken(&stale, CONVERGES, 1).is_some());
}

/// The first change of a product is in the stream and lost with the primary; the new one has made its epoch.
#[test]
fn a_lost_event_of_the_same_version_swallows_the_real_one() {
    use Limited::*;
    let mut prelude = write(0);
    prelude.extend(turn(0, 1).into_iter().take(4));
    prelude.push(Action::Failover);
    prelude.extend([Stage::Idle, Stage::Learnt].map(|stage| Action::Relay { number: 1, stage }));
    prelude.extend(turn(1, 1));
    let limits = Limits::of(&[(Writes, 2), (Turns, 5), (Failovers, 1), (Flights, 1)]);
    breaks_after(prelude, Mutation::MsgId, limits, AS_OF);
}

fn write(key: usize) -> Vec<Action> {
    vec![Action::Insert { writer: 0, key }, Action::Commit { writer: 0 }]
}

/// A relay's turn that publishes so many messages.
fn turn(number: usize, messages: usize) -> Vec<Action> {
    let begin = [Stage::Idle, Stage::Learnt, Stage::Selected];
    let stages = begin.into_iter().chain(std::iter::repeat_n(Stage::Publishing, messages)).chain([Stage::Published]);
    stages.map(|stage| Action::Relay { number, stage }).collect()
}

/// The link within a pipeline is a second line: nodes see the refused head as a gap.
#[test]
fn a_pipeline_whose_head_was_refused_breaks_nothing_while_gaps_are_seen() {
    let model = Model { limits: stormy(), mutation: Some(Mutation::NoLink), ..Model::default() };
    walk(&model, 2_000_000, 1);
}
