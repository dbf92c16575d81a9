//! What is known of a stack between two commands: `stack.json` in its folder.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::layout::{Options, Role, choose_ports};
use crate::process::Process;

/// One process of the stack.
#[derive(Debug, Serialize, Deserialize)]
pub struct Member {
    pub role: Role,
    pub process: Process,
}

/// What a command is doing, or has last done, with the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Starting,
    Running,
    /// Set before anything is stopped, so that who watches knows that the deaths are wanted.
    Stopping,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) bin_dir: PathBuf,
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) members: Vec<Member>,
    /// Of the development key; a secret, like the file that this is written to.
    #[serde(default)]
    pub(super) api_key: Option<String>,
    /// Demo products that the database holds already.
    pub(super) products_loaded: u32,
    pub(super) phase: Phase,
}

impl State {
    /// The next life of a stack, with the ports of its last one as far as they are free.
    pub(super) fn next(last: Option<&Self>, options: Options, bin_dir: &Path) -> Self {
        let names = Role::ALL
            .iter()
            .flat_map(|role| (1..=options.count(*role)).flat_map(|number| role.port_names(&role.name(number))))
            .collect();
        let mut ports = last.map(|last| last.ports.clone()).unwrap_or_default();
        ports.extend(options.ports.clone());
        Self {
            ports: choose_ports(names, &ports),
            options,
            bin_dir: bin_dir.to_owned(),
            members: Vec::new(),
            api_key: last.and_then(|last| last.api_key.clone()),
            products_loaded: last.map_or(0, |last| last.products_loaded),
            phase: Phase::Starting,
        }
    }

    /// `None` if no stack was ever started in `dir`.
    pub(super) fn load(dir: &Path) -> Result<Option<Self>> {
        let path = path(dir);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read(&path)?;
        let state = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not readable; `cargo xtask down --wipe` begins anew", path.display()))?;
        Ok(Some(state))
    }

    pub(super) fn save(&self, dir: &Path) -> Result<()> {
        write_secret(&path(dir), &serde_json::to_vec_pretty(self)?)
    }

    pub(super) fn names_alive(&mut self) -> Vec<&str> {
        self.members
            .iter_mut()
            .filter_map(|member| member.process.is_alive().then_some(member.process.launch.name.as_str()))
            .collect()
    }
}

/// Replaces a file as a whole: a reader sees the old content or the new one, and nobody else's readers see any.
pub(super) fn write_secret(path: &Path, content: &[u8]) -> Result<()> {
    let unfinished = path.with_added_extension("unfinished");
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    // One that was left behind keeps its mode.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    Ok(fs::rename(unfinished, path)?)
}

fn path(dir: &Path) -> PathBuf {
    dir.join("stack.json")
}

/// Held while a command starts, changes or stops the stack in a folder.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(dir: &Path) -> Result<Self> {
        let file = fs::create_dir_all(dir).and_then(|()| File::create(dir.join("lock")));
        let file = file.with_context(|| format!("{} cannot be written", dir.display()))?;
        if file.try_lock().is_err() {
            bail!("another command is starting, changing or stopping the stack in {}", dir.display());
        }
        Ok(Self { _file: file })
    }
}
