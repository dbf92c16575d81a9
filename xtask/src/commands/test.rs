//! `test`: every check, in the order of how soon it can fail, on private servers.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use xtask::scratch::Scratch;
use xtask::servers::Postgres;
use xtask::{interrupt, ports};

use super::cargo::{cargo, run};
use super::openapi::Openapi;
use super::packages;
use super::progress::Progress;
use super::sqlx_prepare;
use super::tools;

#[derive(Args)]
pub(crate) struct Test {
    /// Only these steps, still in their own order
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    only: Vec<Step>,
    /// Given to `cargo nextest run`: filters by name and its own flags
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filters: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Fmt,
    Clippy,
    Doc,
    Deny,
    Machete,
    Sqlx,
    Build,
    Openapi,
    Tests,
    Doctests,
}

impl Test {
    pub(crate) fn run(&self) -> Result<()> {
        interrupt::install()?;
        let progress = Progress::start();
        packages::install_missing(&progress)?;
        tools::install_missing(&progress)?;
        // Also the crates of other platforms, which `deny` reads; nothing is asked of the network if all are here.
        run(&mut cargo(&["fetch", "--locked", "--quiet"]))?;
        let mut servers = None;
        for step in Step::value_variants() {
            if !self.only.is_empty() && !self.only.contains(step) {
                continue;
            }
            let began = Instant::now();
            let name = step.to_possible_value().expect("no step is hidden").get_name().to_owned();
            progress.say(&format!("{name} ..."));
            let result = self.step(*step, &mut servers);
            if interrupt::take() {
                bail!("interrupted in the step {name}");
            }
            result.with_context(|| format!("the step {name} failed"))?;
            progress.say(&format!("{name} passed in {:.1} s", began.elapsed().as_secs_f64()));
        }
        Ok(())
    }

    /// Servers are started by the first step that needs them and stopped when the last one has ended or one has failed.
    fn step(&self, step: Step, servers: &mut Option<Servers>) -> Result<()> {
        match step {
            Step::Fmt => run(&mut cargo(&["fmt", "--all", "--check"])),
            Step::Clippy => run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
            Step::Doc => run(cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"])
                .env("RUSTDOCFLAGS", "-D warnings")),
            Step::Deny => {
                run(&mut cargo(&["deny", "--offline", "--log-level", "error", "check", "bans", "licenses", "sources"]))
            }
            Step::Machete => run(&mut cargo(&["machete"])),
            Step::Sqlx => run(&mut sqlx_prepare::prepare(&Servers::started(servers)?.primary.url(), true)),
            Step::Build => run(&mut cargo(&["build", "--workspace", "--bins"])),
            Step::Openapi => Openapi { check: true }.run(),
            Step::Tests => {
                let mut tests = cargo(&["nextest", "run", "--workspace"]);
                run(Servers::started(servers)?.named_in(&mut tests).args(&self.filters))
            }
            Step::Doctests => {
                let mut tests = cargo(&["test", "--workspace", "--doc", "--quiet"]);
                run(Servers::started(servers)?.named_in(&mut tests))
            }
        }
    }
}

/// A migrated primary and its replica, for every test that needs no server of its own.
struct Servers {
    replica: Postgres,
    primary: Postgres,
    /// Last, so that it is removed after they have stopped.
    _scratch: Scratch,
}

impl Servers {
    fn started(servers: &mut Option<Self>) -> Result<&Self> {
        if servers.is_none() {
            *servers = Some(Self::start()?);
        }
        Ok(servers.as_ref().expect("they have just been started"))
    }

    fn start() -> Result<Self> {
        let scratch = Scratch::new("test")?;
        let port = ports::free(2);
        let primary = Postgres::start(&scratch.path().join("primary"), port[0])?;
        run(&mut sqlx_prepare::migrate(&primary.url()))?;
        let replica = Postgres::start_replica_of(&primary, &scratch.path().join("replica"), port[1], "replica_1")?;
        Ok(Self { replica, primary, _scratch: scratch })
    }

    fn named_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("DATABASE_URL", self.primary.url())
            .env("FRESHET_TEST_DATABASE_URL", self.primary.url())
            .env("FRESHET_TEST_REPLICA_URL", self.replica.url())
    }
}
