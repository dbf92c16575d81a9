//! Redis comes back with what it held earlier, or compares texts otherwise than bytes.

use std::time::{Duration, Instant};

use async_nats::jetstream;
use catalog::Version;
use testkit::api::{create, metric, read, set_price};
use testkit::{Options, holds};

use crate::shop::{
    cached, epoch, is_cached, is_right_everywhere, kill, open, projector_goes_on, redis_connection, start_again,
};
use crate::traffic::Traffic;

const PRODUCTS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_an_older_dump_are_never_served() {
    const HORIZON: Duration = Duration::from_secs(1);
    // Nothing near, so that each read asks Redis; and the changes are soon forgotten, so that floors alone would not do.
    let env = [("FRESHET_NEAR_BYTES_MAX", "0"), ("FRESHET_HORIZON_SECONDS", "1")];
    let mut shop = open(Options::default(), &env);
    let urls = shop.stack.urls();
    let (gateway, nodes) = (shop.gateway(), shop.read_nodes());
    let mut quiet = Vec::new();
    for number in 0..40 {
        quiet.push(create(&gateway, &format!("QUIET-{number}")).await.id);
        is_cached(&nodes[0], quiet[number]).await;
    }
    let traffic = Traffic::begin(gateway.clone(), shop.read_nodes(), PRODUCTS).await;
    traffic.acknowledges(50).await;
    let before = epoch(&urls.database).await;
    redis::cmd("SAVE").exec_async(&mut redis_connection(&shop).await).await.unwrap();
    let (dump, older) = (shop.file("redis/dump.rdb"), shop.file("older.rdb"));
    std::fs::copy(&dump, &older).unwrap();

    let mut newest = Vec::new();
    for (number, id) in quiet.iter().enumerate() {
        newest.push(set_price(&gateway, *id, &format!("7.{number:02}")).await);
    }
    let patched = Instant::now();
    traffic.acknowledges(200).await;
    holds(async || patched.elapsed() > 2 * HORIZON).await;
    kill(&mut shop, "redis");
    std::fs::rename(&older, &dump).unwrap();
    start_again(&mut shop, "redis");

    assert_eq!(cached(&shop, quiet[39]).await.unwrap().version, Version::FIRST, "the dump is the older one");
    let refused = async |reason: &str| {
        let mut refused = 0.0;
        for ops in &urls.read_ops {
            let line = format!("freshet_fills_rejected_total{{tier=\"redis\",reason=\"{reason}\"}}");
            refused += metric(&testkit::client(ops), &line).await;
        }
        refused
    };
    let refused_before = refused("before_start").await;
    // The nodes come back to Redis one after the other; until they do they go past it.
    holds(async || {
        for (id, newest) in quiet.iter().zip(&newest) {
            for node in &nodes {
                assert_eq!(read(node, *id).await, *newest);
            }
        }
        cached(&shop, quiet[39]).await.is_some_and(|entry| entry.version == newest[39].version)
    })
    .await;
    assert!(refused("before_start").await > refused_before, "old entries were found there, and refused");

    traffic.answers(200).await;
    let acknowledged = traffic.end().await;
    is_right_everywhere(&shop, &urls.database, &acknowledged).await;
    assert_eq!(epoch(&urls.database).await, before, "what Redis holds has no part in the epoch");
    projector_goes_on(&shop, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_locale_that_sorts_letters_otherwise_the_newest_version_and_epoch_win_in_redis() {
    let mut shop = open(Options::default(), &[("FRESHET_NEAR_BYTES_MAX", "0")]);
    let urls = shop.stack.urls();
    let locale = xtask::servers::american_english(&shop.file("locales")).unwrap();
    shop.stack.process("redis").unwrap().launch.env = locale;
    start_again(&mut shop, "redis");
    let sorts_as_text: bool = redis::cmd("EVAL")
        .arg("return 'a' < 'B'")
        .arg(0)
        .query_async(&mut redis_connection(&shop).await)
        .await
        .unwrap();
    assert!(sorts_as_text, "unlike in bytes, a small letter comes before a capital one");
    // One product, so that its version soon runs past 256 and so through every value of the last byte.
    let traffic = Traffic::begin(shop.gateway(), shop.read_nodes(), 1).await;

    traffic.acknowledges(300).await;
    let nats = jetstream::new(async_nats::connect(&urls.nats).await.unwrap());
    for _ in 0..3 {
        let before = epoch(&urls.database).await;
        nats.delete_stream(events::STREAM).await.unwrap();
        holds(async || epoch(&urls.database).await > before).await;
        traffic.acknowledges(20).await;
    }

    let acknowledged = traffic.end().await;
    is_right_everywhere(&shop, &urls.database, &acknowledged).await;
    let now = epoch(&urls.database).await;
    for (id, newest) in &acknowledged {
        assert!(newest.version.get() > 256, "{}", newest.version);
        holds(async || {
            cached(&shop, *id)
                .await
                .is_some_and(|entry| entry.version >= newest.version && i64::try_from(entry.epoch.0).unwrap() == now)
        })
        .await;
    }
    projector_goes_on(&shop, &acknowledged).await;
}
