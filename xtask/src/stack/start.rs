//! Starting a stack: servers, schema, services, gateway.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Stack;
use super::launches::slot;
use super::layout::{Options, Role};
use super::state::{Lock, Member, Phase, State};
use crate::interrupt;
use crate::process::Process;
use crate::servers::postgres;

impl Stack {
    /// Starts everything in `dir`, with the data and the ports of the last time if there was one.
    ///
    /// `bin_dir` holds the built services; `progress` is told what has been done.
    pub fn start(options: Options, dir: &Path, bin_dir: &Path, progress: &dyn Fn(&str)) -> Result<Self> {
        let _lock = Lock::take(dir)?;
        // Absolute, because it is written into configurations and read by processes with other working folders.
        let dir = dir.canonicalize()?;
        let mut last = State::load(&dir)?;
        if let Some(last) = &mut last {
            let alive = last.names_alive().join(", ");
            ensure!(alive.is_empty(), "a stack already runs here ({alive}); `cargo xtask down` stops it");
            // What outlived them would keep their ports.
            last.members.iter_mut().for_each(|member| member.process.kill9());
        }
        let bin_dir = bin_dir.canonicalize().context("the folder of the programs is missing")?;
        let state = State::next(last.as_ref(), options, &bin_dir);
        let mut stack = Self { dir, state, is_owned: true };
        stack.save()?;
        stack.start_servers(progress)?;
        stack.start_services(progress)?;
        stack.load_products(progress)?;
        stack.state.phase = Phase::Running;
        stack.save()?;
        Ok(stack)
    }

    /// Starts a member again as it was started before, on the same port; one that still runs is stopped first.
    pub fn start_again(&mut self, name: &str) -> Result<()> {
        let process = self.process(name)?;
        process.stop();
        *process = Process::start(process.launch.clone())?;
        self.save()
    }

    fn start_servers(&mut self, progress: &dyn Fn(&str)) -> Result<()> {
        self.start_roles(&[Role::Primary, Role::Redis, Role::Nats])?;
        progress("Postgres, Redis and NATS are running");
        self.drop_surplus_replicas()?;
        self.start_roles(&[Role::Replica])?;
        progress(&format!("{} streaming from the primary", counted(self.state.options.replicas, "replica")));
        Ok(())
    }

    fn start_services(&mut self, progress: &dyn Fn(&str)) -> Result<()> {
        self.run("freshet-write", &["migrate"]).context("the migrations cannot be applied")?;
        progress("the schema is up to date");
        // The relay in the write service makes the stream that the others follow.
        self.start_roles(&[Role::Write])?;
        self.ensure_key()?;
        self.start_roles(&[Role::Projector, Role::Read])?;
        self.start_roles(&[Role::Gateway])?;
        let Options { write_nodes, projectors, read_nodes, .. } = self.state.options;
        progress(&format!(
            "{}, {} and {} are ready behind the gateway",
            counted(write_nodes, "write node"),
            counted(projectors, "projector"),
            counted(read_nodes, "read node"),
        ));
        Ok(())
    }

    /// Runs a built program to its end, and returns what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = Command::new(self.state.bin_dir.join(program))
            .args(arguments)
            .envs(self.state.service_env())
            // For the command line; not an argument, which everybody on the machine could read.
            .envs(self.api_key().map(|key| ("FRESHET_API_KEY", key)))
            .output()
            .with_context(|| format!("{program} does not start"))?;
        let error = String::from_utf8_lossy(&output.stderr);
        // A terminal's Ctrl-C ends it too, and it says nothing.
        ensure!(output.status.success(), "{}", if interrupt::is_pending() { "interrupted" } else { error.trim() });
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts all members of these roles at once, then waits for each. They are recorded as soon as they exist.
    fn start_roles(&mut self, roles: &[Role]) -> Result<()> {
        let first = self.state.members.len();
        for role in roles {
            for number in 1..=self.state.options.count(*role) {
                let name = role.name(number);
                let launch = self.state.launch(&self.dir, *role, &name)?;
                let process = Process::spawn(launch)?;
                self.state.members.push(Member { role: *role, process });
                self.save()?;
            }
        }
        self.state.members[first..].iter_mut().try_for_each(|member| member.process.wait_until_ready())
    }

    /// Forgets replicas of an earlier, larger stack: their slots would keep the primary's log for ever.
    fn drop_surplus_replicas(&self) -> Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.strip_prefix("replica-").and_then(|number| number.parse::<usize>().ok());
            if number.is_some_and(|number| number > self.state.options.replicas) {
                postgres::drop_slot(self.state.ports["primary"], &slot(name))?;
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(())
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
