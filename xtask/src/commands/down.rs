//! `down`: stops the stack, whoever started it.

use anyhow::Result;
use clap::Args;
use xtask::interrupt;
use xtask::stack::Stack;

use super::StateDir;

#[derive(Args)]
pub(crate) struct Down {
    /// Remove all data as well
    #[arg(long)]
    wipe: bool,
    #[command(flatten)]
    state: StateDir,
}

impl Down {
    pub(crate) fn run(self) -> Result<()> {
        interrupt::install()?;
        Stack::down(&self.state.path(), self.wipe)?;
        eprintln!("{}", if self.wipe { "stopped, and the data removed" } else { "stopped" });
        Ok(())
    }
}
