//! The stream is deleted, or becomes an older copy of itself, under a relay that goes on publishing.

use std::process::Command;

use async_nats::jetstream;
use testkit::{Options, holds};

use crate::shop::{epoch, is_right_everywhere, kill, open, projector_goes_on, start_again};
use crate::traffic::Traffic;

const PRODUCTS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_deleted_again_and_again_is_made_anew_in_a_new_epoch() {
    let shop = open(Options::default(), &[]);
    let urls = shop.stack.urls();
    let nats = jetstream::new(async_nats::connect(&urls.nats).await.unwrap());
    let traffic = Traffic::begin(shop.gateway(), shop.read_nodes(), PRODUCTS).await;

    for _ in 0..3 {
        traffic.acknowledges(100).await;
        let before = epoch(&urls.database).await;
        nats.delete_stream(events::STREAM).await.unwrap();
        holds(async || epoch(&urls.database).await > before).await;
    }

    traffic.acknowledges(100).await;
    let acknowledged = traffic.end().await;
    is_right_everywhere(&shop, &urls.database, &acknowledged).await;
    projector_goes_on(&shop, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_stream_begins_a_new_epoch_however_long_it_grows() {
    let mut shop = open(Options::default(), &[]);
    let urls = shop.stack.urls();
    let (store, copy) = (shop.file("nats/store"), shop.file("nats/copy"));
    let traffic = Traffic::begin(shop.gateway(), shop.read_nodes(), PRODUCTS).await;

    traffic.acknowledges(100).await;
    // Frozen, so that the copy is of one moment; patches go on and publishes queue up.
    shop.stack.process("nats").unwrap().pause();
    assert!(Command::new("cp").arg("-a").args([&store, &copy]).status().unwrap().success());
    shop.stack.process("nats").unwrap().resume();
    traffic.acknowledges(200).await;
    let before = epoch(&urls.database).await;

    kill(&mut shop, "nats");
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&copy, &store).unwrap();
    traffic.acknowledges(20).await;
    start_again(&mut shop, "nats");

    holds(async || epoch(&urls.database).await > before).await;

    traffic.acknowledges(100).await;
    let acknowledged = traffic.end().await;
    is_right_everywhere(&shop, &urls.database, &acknowledged).await;
    projector_goes_on(&shop, &acknowledged).await;
}
