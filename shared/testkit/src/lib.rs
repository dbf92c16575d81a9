//! Real servers, databases and conditions for tests.
//!
//! Postgres is shared by the tests of a run, each with a database of its own; Redis and NATS start in milliseconds, so
//! each test that needs one has its own.

pub mod api;
mod condition;
mod database;
mod server;
mod stack;
mod stream;
mod switch;
pub mod torture;

pub use condition::{eventually, holds};
pub use database::{Databases, databases};
pub use server::{NatsServer, RedisServer, Server, nats, redis};
pub use stack::{TestStack, client, programs, stack};
pub use stream::Publisher;
pub use switch::Switch;
pub use xtask::stack::Options;
