//! Loading the demo products through the gateway, as any importer would.

use std::fs::{self, File};
use std::io::BufWriter;

use anyhow::{Context, Result};

use super::Stack;
use super::state::Lock;
use crate::demo;

impl Stack {
    /// Loads demo products until there are so many. Those that were changed meanwhile are as they were.
    pub fn grow(&mut self, products: u32, progress: &dyn Fn(&str)) -> Result<()> {
        let _lock = Lock::take(&self.dir)?;
        self.state.options.products = products;
        self.load_products(progress)
    }

    /// Loads what is wanted and not there yet. Loading is an upsert by sku, so a repeat changes nothing.
    pub(super) fn load_products(&mut self, progress: &dyn Fn(&str)) -> Result<()> {
        let wanted = self.state.options.products;
        if wanted <= self.state.products_loaded {
            return Ok(());
        }
        let file = self.dir.join("demo.ndjson");
        demo::write(wanted, BufWriter::new(File::create(&file)?))?;
        let arguments = ["import", "--quiet", "--url", &self.urls().gateway, &file.display().to_string()];
        self.run("freshet", &arguments).context("the demo products cannot be loaded")?;
        fs::remove_file(file)?;
        self.state.products_loaded = wanted;
        self.save()?;
        progress(&format!("{wanted} demo products are loaded"));
        Ok(())
    }
}
