//! How each member of a stack is started, from its role, its name and the ports in the state.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::thread;

use anyhow::Result;

use super::layout::{Role, ops};
use super::state::State;
use super::urls::Urls;
use crate::process::{Launch, Stop};
use crate::servers::nginx::Gateway;
use crate::servers::postgres::{self, Durability};
use crate::servers::{self, Probe};

/// What tokio asks for.
const THREADS: &str = "TOKIO_WORKER_THREADS";
/// What Go, and so the NATS server, asks for.
const GO_THREADS: &str = "GOMAXPROCS";

impl State {
    /// Prepares what the member needs on disk. A replica needs its primary running, the others nothing.
    pub(super) fn launch(&self, dir: &Path, role: Role, name: &str) -> Result<Launch> {
        let folder = dir.join(name);
        let port = |name: &str| self.ports[name];
        let mut launch = match role {
            Role::Primary => postgres::primary(name, &folder, port(name), Durability::Machine)?,
            Role::Replica => postgres::replica(name, &folder, port(name), port("primary"), &slot(name))?,
            Role::Redis => servers::redis(name, &folder, port(name))?,
            Role::Nats => {
                let mut nats = servers::nats(name, &folder, port(name))?;
                nats.env.insert(GO_THREADS.to_owned(), service_threads());
                nats
            }
            Role::Write => self.service(name, "freshet-write"),
            Role::Projector => self.service(name, "freshet-projector"),
            Role::Read => self.service(name, "freshet-read"),
            Role::Gateway => self.gateway(dir).launch(name)?,
        };
        launch.log = dir.join("logs").join(format!("{name}.log"));
        Ok(launch)
    }

    pub(super) fn gateway(&self, dir: &Path) -> Gateway {
        let ports = |role: Role| (1..=self.options.count(role)).map(|number| self.ports[&role.name(number)]).collect();
        Gateway {
            dir: dir.join("gateway"),
            port: self.ports["gateway"],
            read: ports(Role::Read),
            write: ports(Role::Write),
        }
    }

    /// Every address that a service may ask for; each takes those it knows.
    pub(super) fn service_env(&self) -> BTreeMap<String, String> {
        let urls = Urls::of(self);
        let mut env = BTreeMap::from([
            ("FRESHET_DATABASE_URL".to_owned(), urls.database),
            ("FRESHET_REDIS_URL".to_owned(), urls.redis),
            ("FRESHET_NATS_URL".to_owned(), urls.nats),
            // Those that are added later are not audited by a projector that runs already.
            ("FRESHET_READ_URLS".to_owned(), urls.read.join(",")),
        ]);
        if !urls.replicas.is_empty() {
            env.insert("FRESHET_REPLICA_URLS".to_owned(), urls.replicas.join(","));
        }
        env.extend(self.options.service_env.clone());
        env
    }

    fn service(&self, name: &str, program: &str) -> Launch {
        let ops_port = self.ports[&ops(name)];
        let mut env = self.service_env();
        env.entry(THREADS.to_owned()).or_insert_with(service_threads);
        env.insert("FRESHET_OPS_LISTEN".to_owned(), format!("127.0.0.1:{ops_port}"));
        if let Some(port) = self.ports.get(name) {
            env.insert("FRESHET_LISTEN".to_owned(), format!("127.0.0.1:{port}"));
        }
        Launch {
            name: name.to_owned(),
            program: self.bin_dir.join(program),
            args: Vec::new(),
            env,
            log: Path::new(name).with_extension("log"),
            stop: Stop::Term,
            ready: Probe::Ready { port: ops_port },
        }
    }
}

/// Threads of a service whose machine is shared with all the servers, and of the NATS server: half of the cores, unless the
/// environment says it. With more, each would win less than the handovers between them cost everybody: a thread that
/// yields to another of its program waits for everybody else's turn.
pub fn service_threads() -> String {
    env::var(THREADS)
        .unwrap_or_else(|_| thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)).to_string())
}

/// A slot's name may hold no hyphen.
pub(super) fn slot(name: &str) -> String {
    name.replace('-', "_")
}
