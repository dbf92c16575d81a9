//! Calls of cargo, all at the root of the repository.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use xtask::repository;

/// The programs of a stack.
const PROGRAMS: [&str; 4] = ["freshet-write", "freshet-projector", "freshet-read", "freshet"];

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Profile {
    Release,
    Dev,
}

/// Builds the programs of a stack and returns the folder they are in.
pub(super) fn build(profile: Profile) -> Result<PathBuf> {
    build_with(profile, &[])
}

/// Builds an optimised example and, with the same features, so that nothing is built twice, the programs of a stack.
pub(super) fn build_example(example: &str) -> Result<PathBuf> {
    Ok(build_with(Profile::Release, &["--example", example])?.join("examples").join(example))
}

fn build_with(profile: Profile, more: &[&str]) -> Result<PathBuf> {
    let mut build = cargo(&["build"]);
    build.args(PROGRAMS.iter().flat_map(|program| ["--bin", program])).args(more);
    let folder = match profile {
        Profile::Release => {
            build.arg("--release");
            "release"
        }
        Profile::Dev => "debug",
    };
    run(&mut build)?;
    Ok(target_dir()?.join(folder))
}

/// Builds examples for release, beside the programs of a stack.
pub(super) fn build_examples(names: &[&str]) -> Result<()> {
    let mut build = cargo(&["build", "--release"]);
    run(build.args(names.iter().flat_map(|name| ["--example", *name])))
}

pub(super) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository::root()).args(args);
    // Set by the `cargo run` that this program comes from; to a tool they say that it is run that way itself, and to cargo that
    // what was built without them is to be built anew.
    for (name, _) in env::vars_os() {
        let is_of_this_program =
            ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|of| name.to_string_lossy().starts_with(of));
        if is_of_this_program {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command with its output shown, and fails if it does.
pub(super) fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{} {}", name(command), arguments(command));
    let status = command.status().with_context(|| format!("{shown} does not start"))?;
    ensure!(status.success(), "{shown} failed ({status})");
    Ok(())
}

/// Where cargo builds: this program is there itself, in the folder of its profile.
fn target_dir() -> Result<PathBuf> {
    let program = env::current_exe()?;
    Ok(program.ancestors().nth(2).context("a built program lies in a folder of the target folder")?.to_owned())
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn arguments(command: &Command) -> String {
    command.get_args().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
