//! The relay on a real database and a real stream, one turn at a time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cut;
mod leadership;
mod measures;
mod shop;
mod turns;
