//! The Debian packages of the servers, installed if their programs are missing.

use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};
use xtask::servers;

use super::progress::Progress;

const INSTALL: &str = include_str!("install-packages.sh");

/// Installs what is missing, as root or through sudo; otherwise the error says what to install.
pub(super) fn install_missing(progress: &Progress) -> Result<()> {
    install_missing_and(&[], progress)
}

/// The same, with more packages, each named like its program.
pub(super) fn install_missing_and(more: &[&'static str], progress: &Progress) -> Result<()> {
    let missing = servers::missing_packages(more);
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let mut install = if servers::is_root() {
        Command::new("sh")
    } else if can_sudo() {
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "sh"]);
        sudo
    } else {
        bail!(
            "these packages are missing, and this user is neither root nor may use sudo: install them with\n  sudo apt-get install {packages}"
        );
    };
    progress.say(&format!("installing {packages}"));
    // The name takes the place of $0.
    let output = install.args(["-c", INSTALL, "install-packages"]).args(&missing).stdin(Stdio::null()).output()?;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "{packages} cannot be installed:\n{said}");
    let still = servers::missing_packages(more);
    ensure!(still.is_empty(), "{} are installed, but their programs are not found", still.join(" "));
    Ok(())
}

fn can_sudo() -> bool {
    let sudo = Command::new("sudo").args(["-n", "true"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    sudo.is_ok_and(|status| status.success())
}
