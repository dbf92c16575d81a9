//! The benchmarks as a command: what they write, what they judge, and that they leave nothing behind.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use xtask::scratch::Scratch;

/// A start takes seconds; only what never happens fails.
const WAIT_MAX: Duration = Duration::from_mins(1);

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("bench").args(arguments);
    command
}

/// The built services and examples: beside the folder of the test that runs.
fn bin_dir() -> PathBuf {
    env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned()
}

/// What `bench --check` says of a p99 of so many milliseconds where at most 10 are demanded.
fn judged(milliseconds: f64) -> Output {
    let scratch = Scratch::new("bench-results").unwrap();
    let file = scratch.path().join("results.json");
    let line = json!({
        "what": "p99", "unit": "milliseconds", "bar": { "ours_at_most": 10.0 },
        "ours": { "name": "Freshet", "rounds": [milliseconds] }, "other": { "name": "bare", "rounds": [1.0] },
    });
    let row = json!({ "date": "2026-01-02", "seconds": 5, "lines": [line] });
    fs::write(&file, json!({ "machine": "a test", "rows": { "propagation": row } }).to_string()).unwrap();
    bench(&["--check", "--results", file.to_str().unwrap()]).output().unwrap()
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_check_fails_exactly_where_a_bar_is_missed() {
    let missed = judged(10.1);
    assert_eq!(missed.status.code(), Some(1));
    assert!(error_of(&missed).contains("propagation: p99: 10.1 ms"), "{}", error_of(&missed));

    let held = judged(10.0);
    assert_eq!(held.status.code(), Some(0), "{}", error_of(&held));
}

#[test]
fn an_unknown_row_is_refused_with_those_that_are_known() {
    let refused = bench(&["hot"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    for name in ["hot-get", "miss", "propagation", "memory", "replay", "cpu"] {
        assert!(error_of(&refused).contains(name), "{}", error_of(&refused));
    }
}

#[test]
fn rows_are_measured_and_written_down() {
    let scratch = Scratch::new("bench-docs").unwrap();
    let mut quick = bench(&["memory", "replay", "--rounds", "1", "--seconds", "1", "--products-max", "200"]);
    let measured = quick.arg("--docs").arg(scratch.path()).arg("--bin-dir").arg(bin_dir()).output().unwrap();
    assert!(measured.status.success(), "{}", error_of(&measured));

    let page = fs::read_to_string(scratch.path().join("benchmarks.md")).unwrap();
    for found in ["a product kept near", "a product in Redis", "replay of 1200 changes", "benchmarks/replay.svg"] {
        assert!(page.contains(found), "{page}");
    }
    assert!(!page.contains("NaN"), "{page}");
    assert!(fs::read_to_string(scratch.path().join("benchmarks/memory.svg")).unwrap().contains("</svg>"));
}

#[test]
fn ctrl_c_stops_the_stack_and_the_load() {
    let scratch = Scratch::new("bench-interrupted").unwrap();
    let mut running = bench(&["propagation", "--seconds", "60", "--products-max", "10"])
        .arg("--bin-dir")
        .arg(bin_dir())
        // Where it has its own scratch folder, so that whatever runs in it is known.
        .env("TMPDIR", scratch.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let folder = scratch.path().display().to_string();
    // Nearly every process of a stack is told a file in its folder; the load is known by its own name.
    eventually("the load runs", || running_with("examples/load") && running_with(&folder));

    let interrupted = Command::new("kill").args(["-INT", &running.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let status = running.wait().unwrap();

    assert_eq!(status.code(), Some(1));
    assert!(!running_with(&folder), "a process of the stack is left");
    assert!(fs::read_dir(scratch.path()).unwrap().next().is_none(), "files are left");
}

/// Whether a process has this in its command line or its environment.
fn running_with(text: &str) -> bool {
    let own = std::process::id().to_string();
    fs::read_dir("/proc").unwrap().flatten().filter(|entry| entry.file_name().to_str() != Some(&own)).any(|entry| {
        ["cmdline", "environ"].iter().any(|file| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(text)
        })
    })
}

fn eventually(what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !is_met() {
        assert!(Instant::now() < deadline, "{what}: not within {WAIT_MAX:?}");
        thread::park_timeout(Duration::from_millis(50));
    }
}
