//! What one follower of the stream knows, and what that lets it serve: a pure state machine without I/O or clock.
//!
//! Architecture invariant: nothing here reads a clock, a socket or a random number; `now` is an argument. The same code
//! decides in the read service and in the model that checks it (`tests/model`).

mod kept;
mod log;
mod memory;
mod provenance;
mod requirement;
mod tail;
mod token;

pub use kept::Kept;
pub use log::{Applied, Log};
pub use provenance::{Provenance, Rejection};
pub use requirement::{Cut, Database, Judgement, Requirement, TOKENS_MAX};
pub use tail::{Mark, Tail};
pub use token::{TOKEN_TEXT_MAX, Token, TokenFault};
