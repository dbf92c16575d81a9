//! The load generator of `cargo xtask bench`: each command makes one load, measures it and prints one JSON object.

mod bulk;
mod figures;
mod horizon;
mod pages;
mod patch;
mod relay;
mod schedule;
mod watch;
mod wire;

use clap::Parser;

/// Makes a load and prints what it measured as JSON
#[derive(Parser)]
#[command(name = "load")]
enum Load {
    /// Patches products at a fixed rate and watches when every read node shows the new versions
    Patch(patch::Patch),
    /// Changes many products at once and watches when every read node shows all of it
    Bulk(bulk::Bulk),
    /// Asks for pages at a fixed rate, some far more often than others, and tells what other schemes would have kept
    Pages(pages::Pages),
    /// Compares pages that are kept with the same pages read from the primary
    Check(pages::Check),
    /// Asks for every page of a file once, one after another
    Once(pages::Once),
    /// Publishes bare messages at a fixed rate, receives each and sets it in Redis
    Relay(relay::Relay),
    /// Fills a new stream with the changes of a horizon
    Publish(horizon::Publish),
    /// Counts the messages of that stream
    Count(horizon::Count),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let measured = match Load::parse() {
        // Threads and blocking sockets: a timer of the runtime is a millisecond coarse.
        Load::Patch(patch) => tokio::task::spawn_blocking(move || patch.run()).await??,
        Load::Bulk(bulk) => tokio::task::spawn_blocking(move || bulk.run()).await??,
        Load::Pages(pages) => tokio::task::spawn_blocking(move || pages.run()).await??,
        Load::Check(check) => tokio::task::spawn_blocking(move || check.run()).await??,
        Load::Once(once) => tokio::task::spawn_blocking(move || once.run()).await??,
        Load::Relay(relay) => relay.run().await?,
        Load::Publish(publish) => publish.run().await?,
        Load::Count(count) => count.run().await?,
    };
    println!("{measured}");
    Ok(())
}
