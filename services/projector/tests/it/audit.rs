//! `freshet-projector audit`, against nodes that lie.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use cache::{Content, Entry};
use events::Position;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::catalogue::{Catalogue, program, run, stderr, stdout};
use crate::stage::{EPOCH, Stage, lamp};

/// As often as the relay.
const BEAT: Duration = Duration::from_millis(50);
/// The product that lives, at this version, and the one that was deleted at the next.
const LIVING: i64 = 1;
const DELETED: i64 = 2;
const VERSION: i64 = 3;

/// What a node answers to its nth question about a product: a version or "not found", and as of when.
type Answers = fn(id: i64, nth: usize) -> (Option<i64>, AsOf);

#[derive(Clone, Copy)]
enum AsOf {
    Now,
    /// Since the node was started.
    Start,
    Never,
}

fn right(id: i64) -> Option<i64> {
    (id == LIVING).then_some(VERSION)
}

/// A read node that says whatever it is told to; its URL.
async fn node(answers: Answers, stock: i64) -> String {
    let (start, asked) = (OffsetDateTime::now_utc(), Arc::new(AtomicUsize::new(0)));
    let answer = move |Path(id): Path<i64>| {
        let asked = Arc::clone(&asked);
        async move { respond(id, answers(id, asked.fetch_add(1, Ordering::Relaxed)), start, stock) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/products/{id}", get(answer))).await });
    url
}

fn respond(id: i64, (version, as_of): (Option<i64>, AsOf), start: OffsetDateTime, stock: i64) -> Response {
    let as_of = match as_of {
        AsOf::Now => Some(OffsetDateTime::now_utc()),
        AsOf::Start => Some(start),
        AsOf::Never => None,
    };
    let mut answer = match version {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(version) => {
            let mut product = lamp(id, version);
            product.stock = stock.try_into().unwrap();
            ([(header::ETAG, format!("\"{version}\""))], product.to_json()).into_response()
        }
    };
    if let Some(as_of) = as_of {
        answer.headers_mut().insert("catalog-as-of", as_of.format(&Rfc3339).unwrap().try_into().unwrap());
    }
    answer.headers_mut().insert("cache-status", "near; hit".try_into().unwrap());
    answer
}

/// A stage with a primary that holds the two products.
async fn set() -> (Stage, Catalogue) {
    let (stage, mut catalogue) = (Stage::set().await, Catalogue::new().await);
    for id in [LIVING, DELETED] {
        catalogue.put(&lamp(id, VERSION)).await;
    }
    catalogue.delete(&lamp(DELETED, VERSION)).await;
    (stage, catalogue)
}

/// Audits the nodes while heartbeats go on; exit code, violations told and the rest of what was said.
async fn audit(stage: &mut Stage, catalogue: &Catalogue, nodes: &[String]) -> (Option<i32>, Vec<Value>, String) {
    let mut program = program(stage, &["audit", "--seconds", "3", "--samples-per-second", "20"]);
    program.env("FRESHET_READ_URLS", nodes.join(",")).env("FRESHET_DATABASE_URL", &catalogue.databases.primary_url);
    let mut beats = tokio::time::interval(BEAT);
    let beating = async {
        loop {
            beats.tick().await;
            stage.publisher.heartbeat(Position(9)).await;
        }
    };
    let output = tokio::select! {
        output = run(program) => output,
        () = beating => unreachable!("it beats for ever"),
    };
    let said = stdout(&output);
    let (told, rest): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with('{'));
    let told = told.into_iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    (output.status.code(), told, rest.join("\n") + &stderr(&output))
}

#[tokio::test]
async fn every_kind_of_broken_promise_is_found_and_told_with_its_history() {
    let (mut stage, catalogue) = set().await;
    stage.publisher.changed(Some(&lamp(LIVING, VERSION - 1)), &lamp(LIVING, VERSION), Position(8)).await;
    stage.publisher.heartbeat(Position(9)).await;
    let nodes = [
        node(|id, _| (right(id), AsOf::Now), 4).await,
        node(|id, _| (right(id).map(|_| VERSION - 1), AsOf::Now), 4).await,
        node(|_, _| (None, AsOf::Now), 4).await,
        node(|_, _| (Some(VERSION), AsOf::Now), 4).await,
        node(|id, _| (right(id).map(|_| VERSION + 1), AsOf::Start), 4).await,
        node(|id, nth| (right(id).map(|_| VERSION - i64::from(nth % 2 == 1)), AsOf::Start), 4).await,
        node(|id, _| (right(id), AsOf::Start), 5).await,
        // Old, but it promises nothing newer.
        node(|id, _| (right(id).map(|_| VERSION - 1), AsOf::Start), 4).await,
        node(|id, _| (right(id).map(|_| VERSION - 1), AsOf::Never), 4).await,
    ];
    let content = Content::Product(lamp(LIVING, VERSION + 1).to_json().into());
    let ahead = Entry { epoch: EPOCH, version: lamp(LIVING, VERSION + 1).version, read_at: Position(9), content };
    stage.cache.fill(&[(lamp(LIVING, 1).id, ahead)]).await.unwrap();

    let (code, told, rest) = audit(&mut stage, &catalogue, &nodes).await;

    assert_eq!(code, Some(1), "{rest}");
    let found: BTreeSet<(&str, &str, i64)> = told
        .iter()
        .map(|told| (told["tier"].as_str().unwrap(), told["kind"].as_str().unwrap(), told["product"].as_i64().unwrap()))
        .collect();
    let expected = BTreeSet::from([
        ("redis", "lost", LIVING),
        ("node-2", "stale", LIVING),
        ("node-3", "stale", LIVING),
        ("node-4", "undeleted", DELETED),
        ("node-5", "lost", LIVING),
        ("node-6", "backwards", LIVING),
        ("node-7", "different", LIVING),
    ]);
    assert_eq!(found, expected, "{rest}");
    let lie = told.iter().find(|told| told["tier"] == "node-2").unwrap();
    assert_eq!((&lie["answer"]["version"], &lie["answer"]["cache_status"]), (&2.into(), &"near; hit".into()));
    assert_eq!((&lie["primary"][0]["version"], &lie["events"][0]["version"]), (&3.into(), &3.into()));
    assert_eq!(lie["node"], nodes[1].as_str());
    assert!(!told.iter().any(|told| told.to_string().contains("LAMP")), "no content is told");
}

#[tokio::test]
async fn nothing_is_judged_without_a_log_and_that_is_no_success() {
    let (stage, catalogue) = set().await;
    let nodes = node(|id, _| (right(id).map(|_| VERSION - 1), AsOf::Now), 4).await;
    let mut program = program(&stage, &["audit", "--seconds", "2"]);
    program.env("FRESHET_READ_URLS", &nodes).env("FRESHET_DATABASE_URL", &catalogue.databases.primary_url);

    let output = run(program).await;

    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("0 violations; nothing could be judged"), "{}", stdout(&output));
}

#[tokio::test]
async fn what_an_audit_needs_is_named_at_once() {
    let (stage, catalogue) = set().await;
    let refused = async |arguments: &[&str], reason: &str| {
        let output = run(program(&stage, arguments)).await;
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    };
    refused(&["audit"], "name the read nodes: --read-urls (FRESHET_READ_URLS)").await;
    let node = ["audit", "--read-urls", "http://127.0.0.1:9"];
    refused(&node, "to audit, name the primary: --database-url (FRESHET_DATABASE_URL)").await;
    catalogue.databases.replicated().await;
    let replica = ["--database-url", &catalogue.databases.replica_url];
    refused(&[&node[..], &replica[..]].concat(), "the database named as primary is a replica").await;
}
