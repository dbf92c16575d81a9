//! `bench`: measures rows of ratios on a stack of their own, and judges them by their bars.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;
use clap::builder::PossibleValuesParser;
use xtask::{interrupt, repository};

use super::cargo::{self, Profile};
use super::packages;
use super::progress::Progress;
use crate::bench::report::Results;
use crate::bench::row::{ROWS, Row};
use crate::bench::{self, Extent, quality};

/// Fewer are no measurement that the documents should show.
const ROUNDS_MIN: usize = 5;
/// The programs that only benchmarks need.
const EXAMPLES: [&str; 2] = ["bare", "load"];
/// Measured only on products and judgements that are given, and written down nowhere.
const SEARCH_QUALITY: &str = "search-quality";

#[derive(Args)]
pub(crate) struct Bench {
    /// What to measure [default: everything]
    #[arg(value_name = "ROW", value_parser = PossibleValuesParser::new(ROWS.iter().map(|row| row.name).chain([SEARCH_QUALITY])), hide_possible_values = true)]
    rows: Vec<String>,
    /// Fail if a stated bar is missed
    #[arg(long)]
    check: bool,
    /// Name the rows, and measure nothing
    #[arg(long)]
    list: bool,
    /// Rounds of each row; with fewer than 5 the documents stay as they are
    #[arg(long, default_value = "5", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Time for each side in a round
    #[arg(long, default_value = "5", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// For `search-quality`: queries that people judged, with the columns query, sku and rating (0 to 3)
    #[arg(long, value_name = "FILE.csv", requires = "products")]
    judgements: Option<PathBuf>,
    /// For `search-quality`: the products that are searched, as `freshet import` reads them
    #[arg(long, value_name = "FILE.csv", requires = "judgements")]
    products: Option<PathBuf>,
    /// Products in the catalogue at most
    #[arg(long, default_value = "1000000", value_name = "N", hide = true)]
    products_max: u32,
    /// Measure nothing, and take these results
    #[arg(long, value_name = "FILE", hide = true)]
    results: Option<PathBuf>,
    /// Where the documents are written, whatever the rounds
    #[arg(long, value_name = "DIR", hide = true)]
    docs: Option<PathBuf>,
    /// Programs that are built already
    #[arg(long, value_name = "DIR", hide = true)]
    bin_dir: Option<PathBuf>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        if self.list {
            for row in &ROWS {
                println!("{:14}  {}", row.name, row.title);
            }
            println!("{SEARCH_QUALITY:14}  how well search agrees with --judgements on --products");
            return Ok(());
        }
        if self.rows.iter().any(|row| row == SEARCH_QUALITY) || self.judgements.is_some() {
            return self.run_search_quality();
        }
        let results = match &self.results {
            Some(file) => Results::load(file)?,
            None => self.measure()?,
        };
        print!("{}", results.table());
        let missed = results.missed();
        match self.docs {
            Some(docs) => results.write(&docs)?,
            None if self.results.is_none() && usize::from(self.rounds) >= ROUNDS_MIN => {
                results.write(&repository::file("docs"))?;
            }
            None => {}
        }
        let what = if missed.len() == 1 { "a bar is missed" } else { "bars are missed" };
        if !self.check && !missed.is_empty() {
            eprintln!("{what}:\n{}", missed.join("\n"));
        }
        ensure!(!self.check || missed.is_empty(), "{what}:\n{}", missed.join("\n"));
        Ok(())
    }

    fn run_search_quality(&self) -> Result<()> {
        let (Some(judgements), Some(products)) = (&self.judgements, &self.products) else {
            bail!("{SEARCH_QUALITY} needs --judgements FILE.csv and --products FILE.csv");
        };
        ensure!(self.rows == [SEARCH_QUALITY], "--judgements and --products are for {SEARCH_QUALITY} alone");
        interrupt::install()?;
        let progress = Progress::start();
        packages::install_missing_and(&[], &progress)?;
        let bin_dir = if let Some(built) = &self.bin_dir {
            built.clone()
        } else {
            progress.say("building");
            cargo::build(Profile::Dev)?
        };
        let quality = quality::measure(judgements, products, &bin_dir, &|what| progress.say(what))?;
        print!("{}", quality.table());
        let missed = quality.missed();
        if let (false, Some(missed)) = (self.check, &missed) {
            eprintln!("a bar is missed:\n{missed}");
        }
        ensure!(!self.check || missed.is_none(), "a bar is missed:\n{}", missed.unwrap_or_default());
        Ok(())
    }

    fn measure(&self) -> Result<Results> {
        interrupt::install()?;
        let progress = Progress::start();
        let is_wanted = |row: &&Row| self.rows.is_empty() || self.rows.iter().any(|name| name == row.name);
        let rows: Vec<&Row> = ROWS.iter().filter(is_wanted).collect();
        let packages: Vec<&str> = rows.iter().flat_map(|row| row.packages).copied().collect();
        packages::install_missing_and(&packages, &progress)?;
        let bin_dir = if let Some(built) = &self.bin_dir {
            built.clone()
        } else {
            progress.say("building");
            let bin_dir = cargo::build(Profile::Release)?;
            cargo::build_examples(&EXAMPLES)?;
            bin_dir
        };
        let extent = Extent { rounds: self.rounds.into(), seconds: self.seconds, products_max: self.products_max };
        bench::measure(&rows, extent, &bin_dir, &|what| progress.say(what))
    }
}
