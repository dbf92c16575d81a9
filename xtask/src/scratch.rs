//! A folder for the servers of one test run, removed with everything in it.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// A new folder in the system's temporary folder that only its owner may enter; removed when dropped.
///
/// Declare it before the servers that live in it, so that it is dropped after them.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(purpose: &str) -> Result<Self> {
        let unique = RandomState::new().hash_one(purpose);
        let path = std::env::temp_dir().join(format!("freshet-{purpose}-{unique:016x}"));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing more can be done about a folder that cannot be removed; it is in the temporary folder for that.
        let _ = fs::remove_dir_all(&self.0);
    }
}
