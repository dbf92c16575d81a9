//! `add-read-node`: one more read node, behind the gateway once it is ready.

use anyhow::Result;
use clap::Args;
use xtask::interrupt;
use xtask::stack::Stack;

use super::StateDir;

#[derive(Args)]
pub(crate) struct AddReadNode {
    #[command(flatten)]
    state: StateDir,
}

impl AddReadNode {
    pub(crate) fn run(self) -> Result<()> {
        interrupt::install()?;
        let mut stack = Stack::running(&self.state.path())?;
        let name = stack.add_read_node()?;
        println!("{name} is ready and behind the gateway, which has {} read nodes now", stack.options().read_nodes);
        Ok(())
    }
}
