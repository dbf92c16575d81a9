//! One read node against real Postgres servers, Redis and NATS.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod freshness;
mod lists;
mod measures;
mod near;
mod no_cache;
mod node;
mod pages;
mod pages_shared;
mod products;
mod searches;
mod sparse;
mod tiers;
mod tokens;
