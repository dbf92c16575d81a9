//! Where everything of a stack is reached, as `NAME=value` lines.

use std::fmt;

use super::layout::{Role, ops};
use super::state::State;
use crate::servers::{nats_url, postgres, redis_url};

/// The addresses of a stack; http URLs end without a slash.
#[derive(Clone, Debug)]
pub struct Urls {
    pub gateway: String,
    pub write: Vec<String>,
    pub read: Vec<String>,
    pub write_ops: Vec<String>,
    pub read_ops: Vec<String>,
    pub projector_ops: Vec<String>,
    pub database: String,
    pub replicas: Vec<String>,
    pub redis: String,
    pub nats: String,
}

impl Urls {
    pub(super) fn of(state: &State) -> Self {
        let port = |name: &str| state.ports[name];
        let each = |role: Role, url: &dyn Fn(&str) -> String| -> Vec<String> {
            (1..=state.options.count(role)).map(|number| url(&role.name(number))).collect()
        };
        let http = |name: &str| format!("http://127.0.0.1:{}", port(name));
        let http_ops = |name: &str| http(&ops(name));
        Self {
            gateway: http("gateway"),
            write: each(Role::Write, &http),
            read: each(Role::Read, &http),
            write_ops: each(Role::Write, &http_ops),
            read_ops: each(Role::Read, &http_ops),
            projector_ops: each(Role::Projector, &http_ops),
            database: postgres::url(port("primary")),
            replicas: each(Role::Replica, &|name| postgres::url(port(name))),
            redis: redis_url(port("redis")),
            nats: nats_url(port("nats")),
        }
    }

    /// `NAME` and value, a list joined by commas.
    pub fn named(&self) -> [(&'static str, String); 10] {
        [
            ("GATEWAY_URL", self.gateway.clone()),
            ("WRITE_URLS", self.write.join(",")),
            ("READ_URLS", self.read.join(",")),
            ("WRITE_OPS_URLS", self.write_ops.join(",")),
            ("READ_OPS_URLS", self.read_ops.join(",")),
            ("PROJECTOR_OPS_URLS", self.projector_ops.join(",")),
            ("DATABASE_URL", self.database.clone()),
            ("REPLICA_URLS", self.replicas.join(",")),
            ("REDIS_URL", self.redis.clone()),
            ("NATS_URL", self.nats.clone()),
        ]
    }
}

impl fmt::Display for Urls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named().iter().try_for_each(|(name, value)| writeln!(f, "{name}={value}"))
    }
}
