//! Loading the demo products through the gateway, as any importer would.

use std::fs::{self, File};
use std::io::BufWriter;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Stack;
use crate::demo;

impl Stack {
    /// Loads what is wanted and not there yet. Loading is an upsert by sku, so a repeat changes nothing.
    pub(super) fn load_products(&mut self, progress: &dyn Fn(&str)) -> Result<()> {
        let wanted = self.state.options.products;
        if wanted <= self.state.products_loaded {
            return Ok(());
        }
        let file = self.dir.join("demo.ndjson");
        demo::write(wanted, BufWriter::new(File::create(&file)?))?;
        let import = Command::new(self.state.bin_dir.join("freshet"))
            .args(["import", "--quiet", "--url", &self.urls().gateway])
            .arg(&file)
            .output()
            .context("freshet does not start")?;
        let error = String::from_utf8_lossy(&import.stderr);
        ensure!(import.status.success(), "the demo products cannot be loaded: {error}");
        fs::remove_file(file)?;
        self.state.products_loaded = wanted;
        self.save()?;
        progress(&format!("{wanted} demo products are loaded"));
        Ok(())
    }
}
