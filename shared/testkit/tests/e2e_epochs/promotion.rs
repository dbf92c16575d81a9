//! The replica is promoted while the old primary is left running.
