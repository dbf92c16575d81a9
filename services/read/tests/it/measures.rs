//! What a node says of itself in `/metrics`.

use std::collections::HashSet;

use freshness::Token;
use http::{HeaderName, Method, StatusCode, header};
use testkit::holds;

use crate::node::{EPOCH, RunningNode, World, position, set_stock};

const AS_OF_AGE: &str = "freshet_as_of_age_seconds";
const LAG_COUNT: &str = "freshet_visible_lag_seconds_count";

async fn count(node: &RunningNode, tier: &str, result: &str) -> f64 {
    node.metric(&format!("freshet_cache_requests_total{{tier=\"{tier}\",result=\"{result}\"}}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_described_and_counters_begin_at_0() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    holds(async || node.metrics().await.contains("freshet_near_entries")).await;

    let text = node.metrics().await;

    let names = |mark: &str| -> HashSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(mark));
        lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    let undescribed: Vec<_> = names("# TYPE ").difference(&names("# HELP ")).cloned().collect();
    assert!(undescribed.is_empty(), "{undescribed:?}");
    for line in [
        "freshet_token_reads_total{result=\"unavailable\"} 0",
        "freshet_no_cache_reads_total{result=\"primary\"} 0",
        "freshet_log_restarts_total{reason=\"stalled\"} 0",
        "freshet_fills_rejected_total{tier=\"redis\",reason=\"below_floor\"} 0",
        "freshet_cache_requests_total{tier=\"near\",result=\"bypass\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_age_of_as_of_keeps_growing_while_nats_is_away() {
    let mut world = World::new().await;
    let node = world.node().await;
    holds(async || {
        world.heartbeat().await;
        node.metric(AS_OF_AGE).await < 1.0
    })
    .await;

    tokio::task::block_in_place(|| world.nats.kill9());

    holds(async || node.metric(AS_OF_AGE).await > 1.5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn visible_lag_counts_what_comes_and_not_what_is_replayed() {
    let mut world = World::new().await;
    let lamp = world.create("LAMP-1").await;
    let node = world.node().await;
    holds(async || node.metric("freshet_log_changes").await > 0.0).await;
    assert!(node.metric(LAG_COUNT).await < 1.0);

    world.set_stock(&lamp, 3).await;

    holds(async || node.metric(LAG_COUNT).await > 0.0).await;
    assert!(node.metrics().await.contains("freshet_visible_lag_seconds_bucket{le=\"0.0075\"}"));
    assert!(node.metric("freshet_log_replay_seconds").await > 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_counted_by_tier_and_by_what_they_demand() {
    let mut world = World::new().await;
    let node = world.near_node(&[]).await;
    let lamp = world.create("LAMP-1").await;
    node.has_seen(&lamp).await;
    let path = format!("/products/{}", lamp.id);
    let before = count(&node, "near", "hit").await;
    for _ in 0..10 {
        node.get(&path).await;
    }
    assert!(count(&node, "near", "hit").await - before >= 10.0);

    node.request(Method::GET, &path, (header::CACHE_CONTROL, "no-cache")).await;
    assert!(count(&node, "near", "bypass").await > 0.0 && count(&node, "redis", "bypass").await > 0.0);
    assert!(node.metric("freshet_no_cache_reads_total{result=\"primary\"}").await > 0.0);

    let newer = set_stock(&mut world.primary, lamp.id, 3).await;
    world.heartbeat().await;
    let product = Some((newer.id, newer.version));
    let token = Token { epoch: EPOCH, position: position(&mut world.primary).await, product };
    let token_header = HeaderName::from_static("consistency-token");
    let answer = node.request(Method::GET, &path, (token_header.clone(), &token.to_text())).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(node.metric("freshet_token_wait_duration_seconds_count").await > 0.0);
    let by_database = ["replica", "primary"].map(|tier| format!("freshet_token_reads_total{{result=\"{tier}\"}}"));
    assert!(node.metric(&by_database[0]).await + node.metric(&by_database[1]).await > 0.0);
    node.request(Method::GET, &path, (token_header, "x")).await;
    assert!(node.metric("freshet_token_reads_total{result=\"refused\"}").await > 0.0);
}
