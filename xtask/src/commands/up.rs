//! `up`: from a clone to a running stack, and its supervision in the foreground.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use xtask::interrupt;
use xtask::servers;
use xtask::stack::{Options, Phase, Stack};

use super::StateDir;
use super::cargo::{self, Profile};
use super::packages;
use super::progress::Progress;

/// Between two looks at the processes: a death is told at once, for people.
const WATCH: Duration = Duration::from_millis(200);

#[derive(Args)]
pub(crate) struct Up {
    /// Streaming replicas of Postgres [default: as last time, 1 at first]
    #[arg(long, value_name = "N", value_parser = count(0))]
    replicas: Option<u16>,
    /// Write services [default: as last time, 1 at first]
    #[arg(long, value_name = "N", value_parser = count(1))]
    write_nodes: Option<u16>,
    /// Projectors [default: as last time, 1 at first]
    #[arg(long, value_name = "N", value_parser = count(1))]
    projectors: Option<u16>,
    /// Read nodes [default: as last time, 2 at first]
    #[arg(long, value_name = "N", value_parser = count(1))]
    read_nodes: Option<u16>,
    /// Demo products to load, 0 for none [default: as last time, 10000 at first]
    #[arg(long, value_name = "N")]
    products: Option<u32>,
    /// Return when everything is ready and leave it running
    #[arg(long)]
    detach: bool,
    #[arg(long, default_value = "release", hide = true)]
    profile: Profile,
    /// Programs that are built already
    #[arg(long, value_name = "DIR", hide = true)]
    bin_dir: Option<PathBuf>,
    #[command(flatten)]
    state: StateDir,
}

/// More of one kind than this is no use on one machine.
fn count(at_least: i64) -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(at_least..=16)
}

impl Up {
    pub(crate) fn run(self) -> Result<()> {
        interrupt::install()?;
        let progress = Progress::start();
        let dir = self.state.path();
        let last = Stack::load(&dir)?;
        let options = self.options(last.as_ref().map(|last| last.options().clone()).unwrap_or_default());
        // Told before the build, which takes minutes; `Stack::start` looks again.
        if last.is_some_and(|mut last| last.is_running()) {
            bail!("a stack already runs here; `cargo xtask status` shows it, `cargo xtask down` stops it");
        }
        packages::install_missing(&progress)?;
        let bin_dir = if let Some(built) = self.bin_dir {
            built
        } else {
            progress.say("building");
            cargo::build(self.profile)?
        };
        progress.say("starting");
        let stack = Stack::start(options, &dir, &bin_dir, &|what| progress.say(what))?;
        println!("\n{}", greeting(&stack));
        if self.detach {
            println!("It goes on running; `cargo xtask down` stops it.");
            stack.detach();
            return Ok(());
        }
        println!("Ctrl-C stops it.");
        watch(stack, &progress)
    }

    /// What was asked for now, and for the rest what was asked for last.
    fn options(&self, last: Options) -> Options {
        Options {
            replicas: self.replicas.map_or(last.replicas, usize::from),
            write_nodes: self.write_nodes.map_or(last.write_nodes, usize::from),
            projectors: self.projectors.map_or(last.projectors, usize::from),
            read_nodes: self.read_nodes.map_or(last.read_nodes, usize::from),
            products: self.products.unwrap_or(last.products),
            service_env: last.service_env,
            ports: last.ports,
        }
    }
}

/// Waits until somebody stops the stack or something in it dies.
fn watch(mut stack: Stack, progress: &Progress) -> Result<()> {
    loop {
        thread::sleep(WATCH);
        if interrupt::take() {
            progress.say("stopping; Ctrl-C again kills");
            stack.refresh()?;
            stack.stop()?;
            progress.say("stopped");
            return Ok(());
        }
        let dead = stack.dead();
        // Looked at after the deaths: who stops a stack says so before.
        stack.refresh()?;
        if stack.phase() == Phase::Stopping {
            progress.say("stopped by another command");
            stack.detach();
            return Ok(());
        }
        if let Some((name, last_log_lines)) = dead {
            progress.say(&format!("{name} died; stopping everything"));
            eprint!("{last_log_lines}");
            stack.stop()?;
            bail!("{name} died");
        }
    }
}

/// The addresses, and lines to paste.
fn greeting(stack: &Stack) -> String {
    let urls = stack.urls();
    let gateway = &urls.gateway;
    let key = "-H \"Authorization: Bearer $API_KEY\"";
    let json = "-H 'Content-Type: application/merge-patch+json'";
    let first = match first_product_id(gateway) {
        Some(id) => format!(
            "  curl '{gateway}/products/{id}'\n  curl '{gateway}/products/search?q=lamp&limit=3'\n  \
             curl -X PATCH '{gateway}/products/{id}' {key} {json} -d '{{\"price\":\"24.99\"}}'",
        ),
        None => format!(
            "  curl -X POST '{gateway}/products' {key} -H 'Content-Type: application/json' \
             -d '{{\"sku\":\"LAMP-1\",\"name\":\"Desk lamp\",\"price\":\"19.99\",\"currency\":\"USD\",\"stock\":4}}'\n  \
             curl '{gateway}/products?skus=LAMP-1'\n  curl '{gateway}/products/search?q=lamp'",
        ),
    };
    let file = stack.urls_file();
    format!("{urls}\nDocumentation of the API: {gateway}/docs\n\nTry:\n  . '{}'\n{first}\n", file.display())
}

/// The id in the curl lines; an empty catalogue has none.
fn first_product_id(gateway: &str) -> Option<u64> {
    let port = gateway.rsplit(':').next()?.parse().ok()?;
    let answer = servers::http_get(port, "/products?limit=1").ok().filter(|answer| answer.status == 200)?;
    let page: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
    page["items"][0]["id"].as_u64()
}
