//! The write service: takes changes of the catalogue, stores each with its event, and publishes the events.

pub mod app;
mod commit;
pub mod config;
pub mod counts;
pub mod database;
mod error;
pub mod http;
pub mod keys;
pub mod relay;
mod store;
pub mod upkeep;
