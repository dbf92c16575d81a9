//! The write service.

pub mod relay;
