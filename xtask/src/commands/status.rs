//! `status`: every process of the stack, with the last words of those that died.

use anyhow::{Context, Result, ensure};
use clap::Args;
use xtask::stack::{Phase, Stack};

use super::StateDir;

#[derive(Args)]
pub(crate) struct Status {
    #[command(flatten)]
    state: StateDir,
}

struct Row {
    name: String,
    pid: i32,
    is_alive: bool,
    url: String,
    last_log_lines: String,
}

impl Status {
    pub(crate) fn run(self) -> Result<()> {
        let dir = self.state.path();
        let mut stack = Stack::load(&dir)?.context("no stack was started here; `cargo xtask up` starts one")?;
        let urls: Vec<String> = stack.members().iter().map(|member| stack.url(member)).collect();
        let rows: Vec<Row> = stack
            .members_mut()
            .iter_mut()
            .zip(urls)
            .map(|(member, url)| Row {
                name: member.process.launch.name.clone(),
                pid: member.process.pid(),
                is_alive: member.process.is_alive(),
                url,
                last_log_lines: member.process.last_log_lines(),
            })
            .collect();
        ensure!(!rows.is_empty(), "the stack is stopped; `cargo xtask up` starts it");
        println!("{:<14} {:>8}  {:<8} URL", "NAME", "PID", "STATE");
        for Row { name, pid, is_alive, url, .. } in &rows {
            println!("{name:<14} {pid:>8}  {:<8} {url}", if *is_alive { "running" } else { "dead" });
        }
        let dead: Vec<&Row> = rows.iter().filter(|row| !row.is_alive).collect();
        for row in &dead {
            eprint!("\n{}", row.last_log_lines);
        }
        ensure!(dead.is_empty(), "{} of {} processes are dead", dead.len(), rows.len());
        ensure!(stack.phase() == Phase::Running, "the stack is {}", stack.phase());
        Ok(())
    }
}
