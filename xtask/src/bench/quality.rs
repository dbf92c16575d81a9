//! The quality of search: how well the order of what is found agrees with what people judged.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use xtask::interrupt;
use xtask::scratch::Scratch;
use xtask::stack::{Options, Stack};

use super::http::{get, port_of};
use super::{databases, until_replicated};

/// Products looked at, from the first on.
const DEPTH: usize = 10;
/// The mean that is demanded.
const NDCG_MIN: f64 = 0.74;

/// One line of the judgements: how well a product answers a query, from 0, not at all.
#[derive(Deserialize)]
struct Judgement {
    query: String,
    sku: String,
    rating: u8,
}

/// The judged products of one query.
type Ratings = BTreeMap<String, u8>;

/// What was found for a query.
struct Searched {
    query: String,
    ndcg: f64,
    found: usize,
}

/// The queries that have a relevant product, the worst first.
pub(crate) struct Quality {
    searched: Vec<Searched>,
    /// Queries whose products are all irrelevant: nothing can be said of them.
    without_relevant: usize,
}

/// Imports the products into a stack of its own, and asks one of its read nodes every judged query.
pub(crate) fn measure(judgements: &Path, products: &Path, bin_dir: &Path, say: &dyn Fn(&str)) -> Result<Quality> {
    let judged = read(judgements).with_context(|| format!("{} cannot be read", judgements.display()))?;
    ensure!(!judged.is_empty(), "{} holds no judgements", judgements.display());
    let products = products.canonicalize().with_context(|| format!("{} cannot be read", products.display()))?;
    let scratch = Scratch::new("quality")?;
    let service_env = [("FRESHET_REQUESTS_PER_SECOND_MAX".to_owned(), "1000000".to_owned())];
    let options = Options { products: 0, service_env: service_env.into(), ..Options::default() };
    let mut stack = Stack::start(options, &scratch.path().join("stack"), bin_dir, say)?;
    say("importing");
    stack.run("freshet", &["import", "--quiet", "--url", &stack.urls().gateway, &products.display().to_string()])?;
    let (primary, replicas) = databases(&stack)?;
    until_replicated(primary, &replicas)?;
    let node = port_of(&stack.urls().read[0])?;
    let mut quality = Quality { searched: Vec::new(), without_relevant: 0 };
    for (query, ratings) in judged {
        if interrupt::is_pending() {
            bail!("interrupted");
        }
        let ideal = gain(ideal(&ratings));
        if ideal > 0.0 {
            let found = search(node, &query)?;
            let rated = found.iter().map(|sku| ratings.get(sku).copied().unwrap_or_default());
            quality.searched.push(Searched { ndcg: gain(rated) / ideal, found: found.len(), query });
        } else {
            quality.without_relevant += 1;
        }
    }
    stack.stop()?;
    quality.searched.sort_by(|a, b| a.ndcg.total_cmp(&b.ndcg));
    Ok(quality)
}

impl Quality {
    /// The mean over the queries.
    fn ndcg(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "queries are few")]
        let queries = self.searched.len().max(1) as f64;
        self.searched.iter().map(|searched| searched.ndcg).sum::<f64>() / queries
    }

    fn empty(&self) -> usize {
        self.searched.iter().filter(|searched| searched.found == 0).count()
    }

    /// A line for each query, and what they come to.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("nDCG@{DEPTH}  found  query\n");
        for Searched { query, ndcg, found } in &self.searched {
            writeln!(table, "{ndcg:7.3}  {found:5}  {query}").expect("a String takes everything");
        }
        writeln!(
            table,
            "nDCG@{DEPTH} {:.3} over {} queries, {} of them empty ({} more have no relevant product)",
            self.ndcg(),
            self.searched.len(),
            self.empty(),
            self.without_relevant
        )
        .expect("a String takes everything");
        table
    }

    /// What is demanded and not reached.
    pub(crate) fn missed(&self) -> Option<String> {
        let is_met = self.ndcg() >= NDCG_MIN && self.empty() == 0;
        (!is_met).then(|| format!("search-quality: demanded are a mean of at least {NDCG_MIN} and no empty query"))
    }
}

fn read(file: &Path) -> Result<BTreeMap<String, Ratings>> {
    let mut judged: BTreeMap<String, Ratings> = BTreeMap::new();
    for line in csv::Reader::from_path(file)?.deserialize() {
        let Judgement { query, sku, rating } = line?;
        judged.entry(query).or_default().insert(sku, rating);
    }
    Ok(judged)
}

/// The skus found, in order.
fn search(node: u16, query: &str) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Page {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        sku: String,
    }
    let words: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
    let page: Page = serde_json::from_str(&get(node, &format!("/products/search?q={words}&limit={DEPTH}"))?.body)?;
    Ok(page.items.into_iter().map(|item| item.sku).collect())
}

/// The best order there could be.
fn ideal(ratings: &Ratings) -> impl Iterator<Item = u8> {
    let mut ratings: Vec<u8> = ratings.values().copied().collect();
    ratings.sort_unstable_by(|a, b| b.cmp(a));
    ratings.into_iter()
}

/// Discounted cumulative gain (Järvelin and Kekäläinen 2002) with gain 2^rating − 1, of the first [`DEPTH`].
fn gain(ratings: impl Iterator<Item = u8>) -> f64 {
    let discounts = (2_u8..).map(|place| f64::from(place).log2());
    ratings.zip(discounts).take(DEPTH).map(|(rating, discount)| (f64::from(rating).exp2() - 1.0) / discount).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_are_discounted_by_their_place() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(gain([3].into_iter()), 7.0);
        close(gain([0, 3].into_iter()), 7.0 / 3_f64.log2());
        close(gain([1; 30].into_iter()), gain([1; DEPTH].into_iter()));
        let ratings = Ratings::from([("a".to_owned(), 1), ("b".to_owned(), 3), ("c".to_owned(), 0)]);
        assert_eq!(ideal(&ratings).collect::<Vec<_>>(), [3, 1, 0]);
    }

    #[test]
    fn what_is_demanded_is_a_mean_and_no_empty_query() {
        let searched = |ndcg, found| Searched { query: "lamp".to_owned(), ndcg, found };
        let quality = |searched| Quality { searched, without_relevant: 1 };
        assert_eq!(quality(vec![searched(0.5, 3), searched(1.0, 3)]).missed(), None);
        assert!(quality(vec![searched(0.4, 3), searched(1.0, 3)]).missed().is_some());
        assert!(quality(vec![searched(0.8, 0), searched(1.0, 3)]).missed().is_some());
        assert!(
            quality(vec![searched(0.5, 0)])
                .table()
                .ends_with("nDCG@10 0.500 over 1 queries, 1 of them empty (1 more have no relevant product)\n")
        );
    }
}
