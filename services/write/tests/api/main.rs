//! The API of the write service on a real database: what clients get, and what is stored for them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod combine;
mod commit;
mod create;
mod database;
mod delete;
mod import;
mod keys;
mod keys_shared;
mod patch;
mod refuse;
mod shop;
mod socket;
mod token;
