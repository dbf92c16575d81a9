//! What a stack consists of: how many of each, their names and the ports they need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ports;

/// How much of what to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    pub replicas: usize,
    pub write_nodes: usize,
    pub projectors: usize,
    pub read_nodes: usize,
    /// Demo products to load.
    pub products: u32,
    /// Settings (`FRESHET_…`) given to every service; an address among them replaces the stack's own.
    pub service_env: BTreeMap<String, String>,
    /// Ports that are given instead of chosen, by their names in the state, for who must know one before the start.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
}

impl Default for Options {
    /// The smallest stack in which everything that may be many in production can be seen at work.
    fn default() -> Self {
        Self {
            replicas: 1,
            write_nodes: 1,
            projectors: 1,
            read_nodes: 2,
            products: 10_000,
            service_env: BTreeMap::new(),
            ports: BTreeMap::new(),
        }
    }
}

impl Options {
    pub(super) fn count(&self, role: Role) -> usize {
        match role {
            Role::Primary | Role::Redis | Role::Nats | Role::Gateway => 1,
            Role::Replica => self.replicas,
            Role::Write => self.write_nodes,
            Role::Projector => self.projectors,
            Role::Read => self.read_nodes,
        }
    }
}

/// What a process does in the stack, in the order of starting; stopping goes the other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Primary,
    Replica,
    Redis,
    Nats,
    Write,
    Projector,
    Read,
    Gateway,
}

impl Role {
    pub const ALL: [Self; 8] = [
        Self::Primary,
        Self::Replica,
        Self::Redis,
        Self::Nats,
        Self::Write,
        Self::Projector,
        Self::Read,
        Self::Gateway,
    ];

    /// `redis`, or `read-2` where there may be several.
    pub fn name(self, number: usize) -> String {
        match self {
            Self::Primary => "primary".to_owned(),
            Self::Redis => "redis".to_owned(),
            Self::Nats => "nats".to_owned(),
            Self::Gateway => "gateway".to_owned(),
            Self::Replica => format!("replica-{number}"),
            Self::Write => format!("write-{number}"),
            Self::Projector => format!("projector-{number}"),
            Self::Read => format!("read-{number}"),
        }
    }

    /// The names that its ports have in the state.
    pub(super) fn port_names(self, name: &str) -> Vec<String> {
        match self {
            Self::Write | Self::Read => vec![name.to_owned(), ops(name)],
            Self::Projector => vec![ops(name)],
            _ => vec![name.to_owned()],
        }
    }
}

/// The name of a service's operations port.
pub(super) fn ops(name: &str) -> String {
    format!("{name}-ops")
}

/// A port for every name: the last one while it is free, else a new one.
pub(super) fn choose_ports(names: Vec<String>, last: &BTreeMap<String, u16>) -> BTreeMap<String, u16> {
    let kept: BTreeMap<String, u16> = names
        .iter()
        .filter_map(|name| Some((name.clone(), *last.get(name)?)))
        .filter(|(_, port)| ports::is_free(*port))
        .collect();
    let mut fresh = ports::free(names.len()).into_iter().filter(|port| !kept.values().any(|taken| taken == port));
    names
        .into_iter()
        .map(|name| {
            let port = kept.get(&name).copied().or_else(|| fresh.next());
            (
                name,
                port.expect("as many ports were chosen as there are names, and each kept one takes at most one away"),
            )
        })
        .collect()
}
