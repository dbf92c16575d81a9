//! How far a rebuild is: a bar on a terminal, plain lines elsewhere.

use std::cell::Cell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::Rebuild;

/// Between two plain lines: a log is not to be filled.
const LINE_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    /// `None` where nobody watches.
    bar: Option<ProgressBar>,
    told: Cell<Duration>,
}

impl Progress {
    /// The bar goes by ids, since to count the products would cost as much as to read them.
    pub(super) fn new(last_id: i64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}").expect("a template");
            ProgressBar::new(last_id.unsigned_abs()).with_style(style)
        });
        Self { bar, told: Cell::new(Duration::ZERO) }
    }

    pub(super) fn show(&self, rebuild: &Rebuild, begun: Instant) {
        let elapsed = begun.elapsed();
        if let Some(bar) = &self.bar {
            bar.set_position(rebuild.after().unsigned_abs());
            bar.set_message(rate(rebuild.read(), elapsed));
        } else if elapsed >= self.told.get() + LINE_EVERY {
            self.told.set(elapsed);
            eprintln!("{}", rate(rebuild.read(), elapsed));
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `19,406 products, 8,100/s`
fn rate(products: u64, elapsed: Duration) -> String {
    format!("{} products, {}/s", HumanCount(products), HumanCount(per_second(products, elapsed)))
}

/// What a person is told at the end.
pub(super) fn summary(rebuild: &Rebuild, elapsed: Duration, is_complete: bool) -> String {
    let (read, written) = (rebuild.read(), rebuild.written());
    let kept = read - written;
    let end = if is_complete { "" } else { "stopped: " };
    let seconds = elapsed.as_secs_f64();
    let speed = HumanCount(per_second(read, elapsed));
    let (read, written, kept) = (HumanCount(read), HumanCount(written), HumanCount(kept));
    format!("{end}{read} products read, {written} written, {kept} held as new or newer, in {seconds:.1} s ({speed}/s)")
}

fn per_second(products: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    products.saturating_mul(1_000) / millis
}
