//! The API of the write service on a real database: what clients get, and what is stored for them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bulk;
mod bulk_held;
mod bulk_once;
mod combine;
mod commit;
mod create;
mod create_once;
mod database;
mod delete;
mod history;
mod import;
mod keys;
mod keys_shared;
mod patch;
mod refuse;
mod safe;
mod serial;
mod shop;
mod socket;
mod token;
mod upkeep;
