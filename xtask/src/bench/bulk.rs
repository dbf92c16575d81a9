//! The row of bulk patches: how long many changes take until every read node shows them, and what that does to single patches.

use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::Bench;
use super::http::{get, port_of};
use super::row::{Bar, Line, Row, Side, Unit};

/// How many products are changed in which field, and how long that may take, in seconds.
const BULKS: [(u32, &str, f64); 2] = [(1_000, "price", 1.0), (5_000, "stock", 2.0)];

pub(super) const BULK: Row = Row {
    name: "bulk",
    title: "a bulk patch until every read node shows all of it, against single patches",
    meaning: "A client sends a bulk patch of 1,000 prices, and one of 5,000 stocks (`PATCH /products`, a line for each \
              product), reads its results, and then asks every read node for all of the products, 100 at a time, again and \
              again, until each shows the new version: the time from the first byte sent until the last node shows the last \
              product. Beside it: the same changes as single patches over 64 connections, until the same is seen.",
    products: 10_000,
    packages: &[],
    measure,
};

/// Seconds.
#[derive(Debug, Deserialize)]
struct Shown {
    answered: f64,
    visible: f64,
}

fn measure(bench: &mut Bench) -> Result<Vec<Line>> {
    let urls = bench.stack.urls();
    let read = urls.read.join(",");
    for url in &urls.read {
        for first in (1..=5_000).step_by(100) {
            let ids = (first..first + 100).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
            get(port_of(url)?, &format!("/products?ids={ids}"))?;
        }
    }
    let mut lines = Vec::new();
    for (count, field, seconds_max) in BULKS {
        let count = count.min(bench.products);
        let products = count.to_string();
        let bulk = ["bulk", "--write", &urls.write[0], "--read", &read, "--products", &products, "--field", field]
            .map(str::to_owned);
        let single = [bulk.to_vec(), vec!["--single".to_owned()]].concat();
        let (ours, other) = bench.alternate(
            |_: Duration| bench.load::<Shown>(&bulk),
            |_: Duration| bench.load::<Shown>(&single),
            |ours, other| {
                let told = |shown: &Shown| format!("{:.2} s, answered after {:.2} s", shown.visible, shown.answered);
                format!("{} beside {}", told(ours), told(other))
            },
        )?;
        let side = |name: &str, shown: &[Shown], of: fn(&Shown) -> f64| Side::new(name, shown.iter().map(of).collect());
        lines.push(Line {
            what: format!("{count} changes of {field} visible everywhere"),
            unit: Unit::Seconds,
            ours: side("one bulk", &ours, |shown| shown.visible),
            other: side("single patches", &other, |shown| shown.visible),
            bar: Some(Bar::OursAtMost(seconds_max)),
        });
        let rate = |shown: &Shown, count: u32| f64::from(count) / shown.answered;
        lines.push(Line {
            what: format!("patches of {field} answered"),
            unit: Unit::ChangesPerSecond,
            ours: Side::new("one bulk", ours.iter().map(|shown| rate(shown, count)).collect()),
            other: Side::new("single patches", other.iter().map(|shown| rate(shown, count)).collect()),
            bar: None,
        });
    }
    Ok(lines)
}
