//! The cargo tools of the checks, compiled if they are missing: nothing is downloaded ready-made.

use std::process::{Command, Stdio};

use anyhow::Result;

use super::cargo;
use super::progress::Progress;

struct Tool {
    name: &'static str,
    version: &'static str,
    /// Whether another version than this may say something else. If not, one that is installed is left as it is.
    is_pinned: bool,
    /// The subcommand whose `--version` tells what is installed.
    subcommand: &'static str,
    flags: &'static [&'static str],
}

const TOOLS: [Tool; 4] = [
    Tool { name: "cargo-nextest", version: "0.9.151", is_pinned: false, subcommand: "nextest", flags: &["--locked"] },
    Tool { name: "cargo-deny", version: "0.20.2", is_pinned: true, subcommand: "deny", flags: &["--locked"] },
    Tool { name: "cargo-machete", version: "0.9.2", is_pinned: true, subcommand: "machete", flags: &["--locked"] },
    // Its lock file does not resolve for an installation, so it is built without.
    Tool {
        name: "sqlx-cli",
        version: "0.9.0",
        is_pinned: true,
        subcommand: "sqlx",
        flags: &["--no-default-features", "--features", "postgres,rustls"],
    },
];

/// They run for seconds, so they are built for a short build.
const BUILD_ENV: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
];

pub(super) fn install_missing(progress: &Progress) -> Result<()> {
    for tool in TOOLS.iter().filter(|tool| !is_installed(tool)) {
        progress.say(&format!("installing {} {}", tool.name, tool.version));
        let mut install = cargo::cargo(&["install", "--quiet", tool.name, "--version", tool.version, "--force"]);
        cargo::run(install.args(tool.flags).envs(BUILD_ENV))?;
    }
    for component in ["fmt", "clippy"] {
        let is_there = cargo::cargo(&[component, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !is_there.success() {
            let name = if component == "fmt" { "rustfmt" } else { component };
            progress.say(&format!("installing {name}"));
            cargo::run(Command::new("rustup").args(["component", "add", name]))?;
        }
    }
    Ok(())
}

fn is_installed(tool: &Tool) -> bool {
    let output = cargo::cargo(&[tool.subcommand, "--version"]).output();
    output.is_ok_and(|output| {
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && (!tool.is_pinned || said.split_whitespace().any(|word| word == tool.version))
    })
}
