//! A locale whose order of characters is not that of bytes, compiled for the servers of one test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Where the package `locales` has what is compiled.
const SOURCE: &str = "/usr/share/i18n/locales/en_US";
const NAME: &str = "en_US.UTF-8";

/// Compiles American English into `folder`, and returns the environment in which a program finds and uses it.
///
/// The machine's own locales stay as they are.
pub fn american_english(folder: &Path) -> Result<BTreeMap<String, String>> {
    fs::create_dir_all(folder)?;
    let output = Command::new("localedef")
        .args(["-i", "en_US", "-f", "UTF-8"])
        .arg(folder.join(NAME))
        .output()
        .context("localedef does not start")?;
    ensure!(output.status.success(), "localedef failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok([("LC_ALL", NAME.to_owned()), ("LOCPATH", folder.display().to_string())]
        .map(|(name, value)| (name.to_owned(), value))
        .into())
}

pub(super) fn is_installed() -> bool {
    Path::new(SOURCE).exists()
}
