//! Goal: the rules of freshness hold in every order of events, and each of them is needed.
//!
//! Method: the real `freshness::Log` and tokens, in a world of writers, a primary, a lagging replica, relays, a stream,
//! Redis and two nodes, searched by `stateright`; then the same with one rule left out at a time.

mod action;
mod database;
mod drain;
mod fails;
mod holds;
mod limits;
mod model;
mod mutation;
mod node;
mod offers;
mod properties;
mod relay;
mod search;
mod world;
