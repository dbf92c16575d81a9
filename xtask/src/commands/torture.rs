//! `torture`: a whole stack under load while its parts are killed, stopped and cut short; fails if a promise is broken.

use std::process::Command;

use anyhow::Result;
use clap::Args;
use xtask::{interrupt, repository};

use super::cargo;
use super::packages;
use super::progress::Progress;

#[derive(Args)]
pub(crate) struct Torture {
    /// How long faults are done
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=60))]
    minutes: u64,
    /// Repeats the order of an earlier run's faults [default: a new one, which is printed]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

impl Torture {
    pub(crate) fn run(self) -> Result<()> {
        // Ctrl-C reaches the run too, which stops its stack and ends; this program waits for that.
        interrupt::install()?;
        let progress = Progress::start();
        packages::install_missing(&progress)?;
        progress.say("building");
        let mut torture = Command::new(cargo::build_example("torture")?);
        torture.current_dir(repository::root()).args(["--minutes", &self.minutes.to_string()]);
        if let Some(seed) = self.seed {
            torture.args(["--seed", &seed.to_string()]);
        }
        cargo::run(&mut torture)
    }
}
