//! The projector: events in, Redis out.
//!
//! Architecture invariant: it serves no traffic. Projecting writes nothing but entries that Redis holds already; a message
//! is acked only after Redis has answered for it, so it may be applied twice, which changes nothing, but never lost.

pub mod audit;
mod batch;
pub mod config;
mod consumer;
mod dead_letters;
mod error;
mod measures;
mod projector;
pub mod rebuild;
mod run;
mod signals;
mod store;

pub use consumer::ACK_WAIT;
pub use error::ProjectError;
pub use projector::Projector;
pub use run::{health, run, work};
