//! Real servers start in an empty folder, keep or lose what they should, and end.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use xtask::ports;
use xtask::process::{Launch, Process, Stop};
use xtask::scratch::Scratch;
use xtask::servers::{Nats, Postgres, Probe, Redis};

/// Generous, so that only what never happens fails.
const WAIT_MAX: Duration = Duration::from_secs(20);

fn eventually(what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !is_met() {
        assert!(Instant::now() < deadline, "{what}: not within {WAIT_MAX:?}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn sql(url: &str, statement: &str) -> String {
    let output = Command::new("psql").args(["-AtX", "-v", "ON_ERROR_STOP=1", "-c", statement, url]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn shell(scratch: &Scratch, script: &str) -> Launch {
    Launch {
        name: "script".to_owned(),
        program: "sh".into(),
        args: vec!["-c".to_owned(), script.to_owned()],
        env: [].into(),
        log: scratch.path().join("script.log"),
        stop: Stop::Term,
        ready: Probe::Listening { port: 1 },
    }
}

#[test]
fn a_postgres_replica_follows_its_primary() {
    let scratch = Scratch::new("postgres").unwrap();
    let port = ports::free(2);
    let primary = Postgres::start(&scratch.path().join("primary"), port[0]).unwrap();
    sql(&primary.url(), "create table seen (number int)");
    let folder = scratch.path().join("replica");
    let mut replica = Postgres::start_replica_of(&primary, &folder, port[1], "replica_1").unwrap();

    sql(&primary.url(), "insert into seen values (1)");
    eventually("the row is on the replica", || sql(&replica.url(), "select count(*) from seen") == "1");

    replica.stop();
    sql(&primary.url(), "insert into seen values (2)");
    let replica = Postgres::start_replica_of(&primary, &folder, port[1], "replica_1").unwrap();
    eventually("a restarted replica catches up", || sql(&replica.url(), "select count(*) from seen") == "2");
}

#[test]
fn postgres_keeps_its_data_when_stopped() {
    let scratch = Scratch::new("postgres").unwrap();
    let port = ports::free(1)[0];
    let folder = scratch.path().join("primary");
    let mut primary = Postgres::start(&folder, port).unwrap();
    sql(&primary.url(), "create table kept (number int)");

    primary.stop();
    drop(primary);
    let primary = Postgres::start(&folder, port).unwrap();

    assert_eq!(sql(&primary.url(), "select count(*) from kept"), "0");
}

#[test]
fn redis_forgets_and_nats_comes_back_on_the_same_port() {
    let scratch = Scratch::new("memory").unwrap();
    let port = ports::free(2);
    let mut redis = Redis::start(scratch.path(), port[0]).unwrap();
    let mut nats = Nats::start(scratch.path(), port[1]).unwrap();
    redis.process.kill9();
    nats.process.kill9();

    let _redis = Redis::start(scratch.path(), port[0]).unwrap();
    let _nats = Nats::start(scratch.path(), port[1]).unwrap();

    assert!(!scratch.path().join("dump.rdb").exists());
    assert!(scratch.path().join("store/jetstream").exists());
}

#[test]
fn a_child_that_dies_is_reported_with_its_last_lines() {
    let scratch = Scratch::new("child").unwrap();

    let error = Process::start(shell(&scratch, "echo the reason; exit 3")).unwrap_err();

    assert!(error.to_string().contains("script ended while starting"), "{error}");
    assert!(error.to_string().contains("| the reason"), "{error}");
}

#[test]
fn a_reused_pid_is_never_killed() {
    let scratch = Scratch::new("pid").unwrap();
    let mut bystander = Process::spawn(shell(&scratch, "exec cat /dev/zero > /dev/null")).unwrap();
    let mut record = serde_json::to_value(&bystander).unwrap();
    record["started_ticks"] = 1.into();

    let mut older: Process = serde_json::from_value(record).unwrap();
    older.stop();
    older.kill9();

    assert!(!older.is_alive());
    assert!(bystander.is_alive());
    bystander.kill9();
}

#[test]
fn a_process_is_found_again_by_its_record() {
    let scratch = Scratch::new("record").unwrap();
    let mut child = Process::spawn(shell(&scratch, "exec cat /dev/zero > /dev/null")).unwrap();
    let record = serde_json::to_string(&child).unwrap();

    let mut found: Process = serde_json::from_str(&record).unwrap();
    assert!(found.is_alive());
    found.stop();

    assert!(!found.is_alive());
    assert!(!child.is_alive());
}

#[test]
fn ports_chosen_together_differ() {
    let mut chosen = ports::free(50);
    chosen.sort_unstable();
    chosen.dedup();

    assert_eq!(chosen.len(), 50);
}

#[test]
fn a_scratch_folder_goes_when_it_is_dropped() {
    let scratch = Scratch::new("gone").unwrap();
    let path = scratch.path().to_owned();
    fs::write(path.join("file"), "").unwrap();

    drop(scratch);

    assert!(!path.exists());
}
