//! The whole of Freshet as processes on one machine: started in order, kept in a state folder, stopped in reverse.

mod key;
mod launches;
mod layout;
mod products;
mod start;
mod state;
mod urls;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub use launches::service_threads;
use layout::choose_ports;
pub use layout::{Options, Role};
use state::{Lock, State, write_secret};
pub use state::{Member, Phase};
pub use urls::Urls;

use crate::interrupt;
use crate::process::Process;

/// A running stack. Who started it and neither stopped nor [detached](Stack::detach) it stops it by dropping it.
#[derive(Debug)]
pub struct Stack {
    dir: PathBuf,
    state: State,
    is_owned: bool,
}

impl Stack {
    /// The stack that was last started in `dir`, running or not.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let Some(state) = State::load(dir)? else { return Ok(None) };
        Ok(Some(Self { dir: dir.canonicalize()?, state, is_owned: false }))
    }

    /// Like [`Stack::load`], and an error if nothing of it runs.
    pub fn running(dir: &Path) -> Result<Self> {
        let mut stack = Self::load(dir)?.context("no stack was started here; `cargo xtask up` starts one")?;
        ensure!(stack.is_running(), "the stack is stopped; `cargo xtask up` starts it");
        Ok(stack)
    }

    /// Leaves it running when this value goes.
    pub fn detach(mut self) {
        self.is_owned = false;
    }

    /// Stops everything, the gateway first and the primary last; data and ports stay for the next start.
    pub fn stop(&mut self) -> Result<()> {
        self.state.phase = Phase::Stopping;
        let announced = self.save();
        for role in Role::ALL.iter().rev() {
            let is_next = |member: &&mut Member| member.role == *role;
            for member in self.state.members.iter_mut().filter(is_next) {
                member.process.ask_to_stop();
            }
            for member in self.state.members.iter_mut().filter(is_next) {
                member.process.wait_until_stopped();
            }
        }
        self.state.members.clear();
        self.is_owned = false;
        announced.and_then(|()| self.save())
    }

    /// Stops what was started in `dir`, if it runs, and removes the folder if `wipe`.
    pub fn down(dir: &Path, wipe: bool) -> Result<()> {
        if !dir.exists() {
            return Ok(());
        }
        let _lock = Lock::take(dir)?;
        let stopped = Self::load(dir).and_then(|stack| stack.map_or(Ok(()), |mut stack| stack.stop()));
        if wipe {
            // A record that cannot be read or written, as on a full disk, must not keep the data there.
            return Ok(fs::remove_dir_all(dir)?);
        }
        stopped
    }

    /// Adds a read node; the gateway sends it requests only once it is ready. Returns its name.
    pub fn add_read_node(&mut self) -> Result<String> {
        let _lock = Lock::take(&self.dir)?;
        self.refresh()?;
        let name = Role::Read.name(self.state.options.read_nodes + 1);
        // If the node does not come up, its ports stay unused in the record and are chosen anew the next time.
        self.state.ports.extend(choose_ports(Role::Read.port_names(&name), &BTreeMap::new()));
        let mut node = Process::start(self.state.launch(&self.dir, Role::Read, &name)?)?;
        let last = self.state.gateway(&self.dir);
        self.state.options.read_nodes += 1;
        let next = self.state.gateway(&self.dir);
        if let Err(error) = self.process("gateway").and_then(|running| next.reload(&last, running)) {
            self.state.options.read_nodes -= 1;
            node.stop();
            return Err(error);
        }
        // `up` stops its stack without the lock.
        if State::load(&self.dir)?.is_none_or(|now| now.phase == Phase::Stopping) {
            node.stop();
            bail!("the stack was stopped while {name} was starting");
        }
        self.state.members.push(Member { role: Role::Read, process: node });
        self.save()?;
        Ok(name)
    }

    /// Takes in the members that another command has added, and the phase that one has set.
    pub fn refresh(&mut self) -> Result<()> {
        let Some(state) = State::load(&self.dir)? else { bail!("the state of the stack is gone") };
        let State { options, ports, members, phase, .. } = state;
        for member in members {
            if self.state.members.iter().all(|known| known.process.pid() != member.process.pid()) {
                self.state.members.push(member);
            }
        }
        self.state.options = options;
        self.state.ports = ports;
        self.state.phase = phase;
        Ok(())
    }

    /// As of the last [`Stack::refresh`].
    pub fn phase(&self) -> Phase {
        self.state.phase
    }

    /// Whether anything of it is alive.
    pub fn is_running(&mut self) -> bool {
        !self.state.names_alive().is_empty()
    }

    pub fn members(&self) -> &[Member] {
        &self.state.members
    }

    pub fn members_mut(&mut self) -> &mut [Member] {
        &mut self.state.members
    }

    /// The name and the last log lines of a member that does not run.
    pub fn dead(&mut self) -> Option<(String, String)> {
        let process = self.state.members.iter_mut().map(|member| &mut member.process).find_map(|process| {
            let is_alive = process.is_alive();
            (!is_alive).then_some(process)
        })?;
        Some((process.launch.name.clone(), process.last_log_lines()))
    }

    /// A member by its name, such as `read-1`, to pause, stop or kill it.
    pub fn process(&mut self, name: &str) -> Result<&mut Process> {
        let found = self.state.members.iter_mut().find(|member| member.process.launch.name == name);
        found.map(|member| &mut member.process).with_context(|| format!("the stack has no member {name}"))
    }

    pub fn options(&self) -> &Options {
        &self.state.options
    }

    pub fn urls(&self) -> Urls {
        Urls::of(&self.state)
    }

    /// The addresses and the development key, for shells and the command line.
    pub fn urls_file(&self) -> PathBuf {
        self.dir.join("urls.env")
    }

    /// The URL that a member is reached at; of a projector, its operations port.
    pub fn url(&self, member: &Member) -> String {
        let name = &member.process.launch.name;
        let port = self.state.ports.get(name).or_else(|| self.state.ports.get(&layout::ops(name)));
        let port = port.map(u16::to_string).unwrap_or_default();
        match member.role {
            Role::Primary | Role::Replica => format!("postgres://127.0.0.1:{port}"),
            Role::Redis => format!("redis://127.0.0.1:{port}"),
            Role::Nats => format!("nats://127.0.0.1:{port}"),
            Role::Write | Role::Projector | Role::Read | Role::Gateway => format!("http://127.0.0.1:{port}"),
        }
    }

    /// The record, and `urls.env` for scripts.
    fn save(&self) -> Result<()> {
        self.state.save(&self.dir)?;
        let mut lines = self.urls().to_string();
        if let Some(key) = &self.state.api_key {
            writeln!(lines, "API_KEY={key}")?;
        }
        write_secret(&self.urls_file(), lines.as_bytes())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.is_owned {
            // A signal that led here is the wish to stop; only one more is the wish to kill.
            interrupt::take();
            // Errors concern the record only; the processes are stopped whatever becomes of it.
            let _ = self.stop();
        }
    }
}
