//! What a turn puts into the stream, and what it finds there.

use std::time::Duration;

use events::{Epoch, Message};
use freshet_write::relay::{Leader, RelayError, Session};
use sqlx::PgPool;
use testkit::eventually;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::shop::{Shop, settle};

#[sqlx::test(migrations = "../../migrations")]
async fn committed_changes_go_into_the_stream_in_order_and_leave_the_outbox(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    let mut expected = Vec::new();
    for version in 1..=1_200 {
        expected.push(shop.commit(version % 7 + 1, version).await);
    }

    settle(&mut leader).await;

    assert_eq!(shop.events().await, expected);
    assert_eq!(shop.outbox_rows().await, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_message_names_the_one_before_it_and_positions_never_fall(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    for version in 1..=5 {
        shop.commit(1, version).await;
        settle(&mut leader).await;
        leader.turn().await.unwrap();
    }

    let messages = shop.messages().await;
    assert_eq!(messages[0].stamp().previous, None);
    for pair in messages.windows(2) {
        assert_eq!(pair[1].stamp().previous, Some(pair[0].link()));
        assert!(pair[1].stamp().position >= pair[0].stamp().position);
        assert_eq!(pair[1].stamp().epoch, Epoch(shop.epoch().await));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_heartbeat_follows_only_when_nothing_was_left_out(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    for version in 1..=501 {
        shop.commit(1, version).await;
    }
    let mut has_more = 0;
    while leader.turn().await.unwrap().has_more {
        has_more += 1;
    }

    let messages = shop.messages().await;
    assert_eq!(has_more, 2, "one turn began the epoch, one left a row out");
    assert_eq!(messages.len(), 502);
    assert!(matches!(messages.last(), Some(Message::Heartbeat { .. })));
}

#[sqlx::test(migrations = "../../migrations")]
async fn time_in_heartbeats_never_falls_over_a_change_of_leader(db: PgPool) {
    let shop = Shop::open(db).await;
    for _ in 0..3 {
        let mut leader = shop.leader().await;
        settle(&mut leader).await;
        leader.turn().await.unwrap();
    }

    let times: Vec<OffsetDateTime> = shop
        .messages()
        .await
        .iter()
        .filter_map(|message| match message {
            Message::Heartbeat { heartbeat, .. } => Some(heartbeat.t),
            Message::Product(_) => None,
        })
        .collect();
    assert!(times.len() >= 6);
    assert!(times.is_sorted());
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_row_that_the_stream_already_holds_is_deleted_and_not_sent_again(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let (mark, id): (i64, Option<Uuid>) =
        sqlx::query_as("select sequence, id from mark").fetch_one(&shop.db).await.unwrap();
    let event = shop.commit(1, 1).await;
    settle(&mut leader).await;
    drop(leader);
    // What a leader leaves behind that died between the stream's answer and its own commit.
    shop.put_row(event, 1, 1).await;
    sqlx::query("update mark set sequence = $1, id = $2").bind(mark).bind(id).execute(&shop.db).await.unwrap();
    let later = shop.commit(1, 2).await;
    let mut next = shop.leader().await;

    let first = next.turn().await.unwrap();
    assert_eq!((first.published, first.has_more), (0, true), "what is there is settled before anything follows it");
    assert_eq!(shop.outbox_rows().await, 1);
    settle(&mut next).await;

    assert_eq!(shop.events().await, [event, later]);
    assert_eq!(shop.outbox_rows().await, 0);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_lost_stream_begins_a_new_epoch_that_sends_every_pending_row(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    shop.commit(1, 1).await;
    settle(&mut leader).await;
    let before = shop.epoch().await;
    shop.context().delete_stream(events::STREAM).await.unwrap();
    let pending = shop.commit(1, 2).await;

    assert!(leader.turn().await.is_err());
    drop(leader);
    settle(&mut shop.leader().await).await;

    assert!(shop.epoch().await > before);
    assert_eq!(shop.events().await, [pending]);
}

/// It may lead to an old primary: the stream has then lost the epoch of the new one, which would be outbid.
#[sqlx::test(migrations = "../../migrations")]
async fn a_session_that_was_not_just_opened_begins_no_epoch(db: PgPool) {
    let shop = Shop::open(db).await;
    settle(&mut shop.leader().await).await;
    let before = shop.epoch().await;
    let mut session = eventually(async || Session::claim(&shop.db.connect_options()).await.unwrap()).await;
    session.opened_at -= Duration::from_mins(1);
    let mut old = Leader::new(session, shop.context());
    settle(&mut old).await;
    shop.context().delete_stream(events::STREAM).await.unwrap();

    assert!(old.turn().await.is_err());
    old.forget_stream();
    assert!(matches!(old.turn().await, Err(RelayError::StaleSession)));
    assert_eq!(shop.epoch().await, before);

    drop(old);
    settle(&mut shop.leader().await).await;
    assert!(shop.epoch().await > before);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_stream_with_another_message_at_the_mark_begins_a_new_epoch(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let before = shop.epoch().await;
    drop(leader);
    sqlx::query("update mark set id = $1").bind(Uuid::new_v4()).execute(&shop.db).await.unwrap();

    settle(&mut shop.leader().await).await;

    assert!(shop.epoch().await > before);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_publish_behind_the_back_of_the_leader_is_fenced_off_and_survived(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    let epoch = shop.epoch().await;
    shop.context().publish(events::HEARTBEAT_SUBJECT, "not ours".into()).await.unwrap().await.unwrap();
    // Of two events and a heartbeat, the second event would fit where the first was expected.
    let expected = [shop.commit(1, 1).await, shop.commit(1, 2).await];
    let foreign = shop.stream().await.get_info().await.unwrap().state.last_sequence;

    assert!(matches!(leader.turn().await, Err(RelayError::Fenced { .. })));
    leader.forget_stream();
    settle(&mut leader).await;

    assert_eq!(shop.epoch().await, epoch);
    let stream = shop.stream().await;
    for (sequence, event) in (foreign + 1..).zip(expected) {
        let sent = Message::decode(&stream.get_raw_message(sequence).await.unwrap().payload).unwrap();
        assert_eq!(sent.id(), event);
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_relay_of_an_old_primary_stops_when_it_sees_a_higher_epoch(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    shop.put_heartbeat(shop.epoch().await + 1, OffsetDateTime::now_utc()).await;
    shop.commit(1, 1).await;

    assert!(leader.turn().await.is_err());
    leader.forget_stream();

    assert!(matches!(leader.turn().await, Err(RelayError::Deposed { .. })));
    assert_eq!(shop.outbox_rows().await, 1, "nothing is lost");
}

/// After a promotion, with writes on the old primary that never pause either.
#[sqlx::test(migrations = "../../migrations")]
async fn a_new_epoch_gets_in_between_the_turns_of_an_old_relay_that_never_pauses(db: PgPool) {
    let shop = Shop::open(db).await;
    settle(&mut shop.leader().await).await;
    let old = shop.epoch().await;
    sqlx::query("update epoch set server_started_at = server_started_at - interval '1 hour'")
        .execute(&shop.db)
        .await
        .unwrap();
    let events = [shop.commit(1, 1).await, shop.commit(1, 2).await];
    let never_pauses = async {
        loop {
            shop.put_heartbeat(old, OffsetDateTime::now_utc()).await;
            for _ in 0..3 {
                shop.outbox_rows().await;
            }
        }
    };
    let mut leader = shop.leader().await;
    let first = async {
        assert!(leader.turn().await.unwrap().has_more, "the epoch is begun");
        leader.turn().await.unwrap()
    };
    let turn = tokio::select! {
        turn = first => turn,
        () = never_pauses => unreachable!("it never ends"),
    };
    assert_eq!((turn.published, turn.has_more), (1, true), "what comes first is short");
    leader.settle().await.unwrap();
    leader.forget_stream();
    settle(&mut leader).await;
    assert_eq!(shop.events().await, events);
}

#[sqlx::test(migrations = "../../migrations")]
async fn time_in_heartbeats_is_held_while_the_clock_is_behind_what_this_epoch_has_announced(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    settle(&mut leader).await;
    drop(leader);
    // As if the primary's clock had been ahead until now; and a message of nobody's at the end hides nothing.
    let ahead = OffsetDateTime::now_utc() + Duration::from_hours(1);
    shop.put_heartbeat(shop.epoch().await, ahead).await;
    shop.context().publish("catalog.products.updated.1", "not ours".into()).await.unwrap().await.unwrap();

    settle(&mut shop.leader().await).await;

    assert!(shop.last_announced().await >= ahead);
}

#[sqlx::test(migrations = "../../migrations")]
async fn time_announced_in_an_older_epoch_is_not_held(db: PgPool) {
    let shop = Shop::open(db).await;
    // A leader that ends right after it has begun an epoch.
    shop.leader().await.turn().await.unwrap();
    let ahead = OffsetDateTime::now_utc() + Duration::from_hours(1);
    shop.put_heartbeat(shop.epoch().await - 1, ahead).await;

    settle(&mut shop.leader().await).await;

    assert!(shop.last_announced().await < ahead);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_committed_after_the_moment_of_a_turn_is_still_among_its_rows(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut holder = shop.db.begin().await.unwrap();
    sqlx::query("lock table epoch in access exclusive mode").execute(&mut *holder).await.unwrap();
    let read = sqlx::query_as::<_, (bool, bool, Option<Uuid>)>(
        "select t < created_at, h < pending_by, event_id from relay_turn(10)",
    )
    .fetch_one(&shop.db);
    let commit_meanwhile = async {
        let waits = "select true from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
        eventually(async || sqlx::query_scalar::<_, bool>(waits).fetch_optional(&shop.db).await.unwrap()).await;
        let event = shop.commit(1, 1).await;
        holder.rollback().await.unwrap();
        event
    };

    let (read, event) = tokio::join!(read, commit_meanwhile);
    assert_eq!(read.unwrap(), (true, true, Some(event)));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_change_that_commits_long_after_others_that_began_later_is_not_passed_over(db: PgPool) {
    let shop = Shop::open(db).await;
    let mut leader = shop.leader().await;
    let mut late = shop.db.begin().await.unwrap();
    sqlx::query(
        r#"insert into outbox (event_id, product_id, kind, data, created_at)
           values (gen_random_uuid(), 7, 'deleted', '{"id":7,"version":1,"before":null,"after":null}', now())"#,
    )
    .execute(&mut *late)
    .await
    .unwrap();
    for _ in 0..5 {
        shop.commit_many(100).await;
        settle(&mut leader).await;
    }
    late.commit().await.unwrap();
    assert_eq!(leader.turn().await.unwrap().published, 1);
    for _ in 0..5 {
        shop.commit_many(100).await;
        settle(&mut leader).await;
    }
    assert_eq!((shop.events().await.len(), shop.outbox_rows().await), (1_001, 0));
}
