//! The read service: get, list and search, from Redis and the Postgres replicas, never older than what it knows.

pub mod app;
pub mod config;
mod demand;
mod error;
mod flight;
pub mod http;
mod log;
mod measures;
mod near;
mod pages;
mod products;
mod redis;
mod sample;
mod sources;
mod store;

pub use app::App;
