//! What one follower of the stream knows, and what that lets it serve: a pure state machine without I/O or clock.
//!
//! Architecture invariant: nothing here reads a clock, a socket or a random number; `now` is an argument. The same code
//! decides in the read service and, later, in the model that checks it.

mod log;
mod provenance;

pub use log::{Applied, Log};
pub use provenance::{Provenance, Rejection};
