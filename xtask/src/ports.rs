//! Free loopback ports.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Below Linux's ephemeral range (32768 to 60999): while a server is down, no outgoing connection can take its port,
/// and no client that keeps trying can connect to itself.
const RANGE: Range<u16> = 15_000..32_000;

/// `count` different free ports, all held at once while they are chosen.
///
/// The search starts at a random place, so that processes choosing at the same time rarely meet.
pub fn free(count: usize) -> Vec<u16> {
    let span = RANGE.end - RANGE.start;
    let start = u16::try_from(RandomState::new().hash_one(std::process::id()) % u64::from(span))
        .expect("a remainder below a u16 is a u16");
    let held: Vec<TcpListener> = (0..span)
        .map(|step| RANGE.start + (start + step) % span)
        .filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .take(count)
        .collect();
    assert_eq!(held.len(), count, "no {count} free ports in {RANGE:?}");
    held.iter().map(|listener| listener.local_addr().expect("a bound socket has an address").port()).collect()
}

/// Whether a server could listen on `port` now.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
