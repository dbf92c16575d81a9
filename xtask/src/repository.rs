//! Where the files of this repository are.

use std::path::{Path, PathBuf};

/// The root of the clone that this program was built from.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// A file of the repository, by its path from the root.
pub fn file(path: &str) -> PathBuf {
    root().join(path)
}
