//! The projector on real servers.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod audit;
mod catalogue;
mod dead_letters;
mod outages;
mod process;
mod projection;
mod rebuild;
mod stage;
