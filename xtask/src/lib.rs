//! Starts, watches and stops the real servers and services of Freshet, for developers and for tests.

pub mod demo;
pub mod interrupt;
pub mod ports;
pub mod process;
pub mod repository;
pub mod scratch;
pub mod servers;
pub mod stack;
