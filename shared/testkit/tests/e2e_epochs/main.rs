//! What ends one life of the catalogue, or looks like it: each case with real processes, while patches and reads go on,
//! ends in correct answers, and in a new epoch where the log of changes was broken, without anybody restarting a service.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failover;
mod nats_away;
mod promotion;
mod redis_data;
mod restart;
mod shop;
mod stream;
mod traffic;
