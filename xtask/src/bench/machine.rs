//! What a reader must know of the machine to judge the figures; nothing that names it.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

/// Cores, memory and kernel.
pub(super) fn describe() -> Result<String> {
    let cores = thread::available_parallelism()?;
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let gib = gib(&meminfo).context("/proc/meminfo names no total")?;
    Ok(format!("{cores} cores, {gib} GiB of memory, Linux {}", version(&kernel)))
}

/// Today in UTC, as `2026-01-31`.
pub(super) fn today() -> Result<String> {
    let date = Command::new("date").args(["-u", "+%F"]).output()?;
    Ok(String::from_utf8(date.stdout)?.trim().to_owned())
}

fn gib(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.split_whitespace().next()?.parse().ok()?;
    // Rounded: the kernel keeps some for itself.
    Some((kib + (1 << 19)) >> 20)
}

/// Processor time of all cores since the machine was started, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticks {
    all: u64,
    /// What a virtual machine's host gave to others while this one had work.
    stolen: u64,
}

impl Ticks {
    pub(super) fn now() -> Result<Self> {
        Self::of(&fs::read_to_string("/proc/stat")?).context("/proc/stat has another form")
    }

    fn of(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        // What is after the eighth is counted in the first two as well.
        let ticks: Vec<u64> = fields.take(8).map(|field| field.parse().ok()).collect::<Option<_>>()?;
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// The stolen share of the time since.
    #[expect(clippy::cast_precision_loss, reason = "no machine runs for 2^53 ticks")]
    pub(super) fn stolen_since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all).max(1);
        self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64
    }
}

/// Without what a distribution or an owner has added.
fn version(release: &str) -> &str {
    release.trim().split(['-', '+']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described_without_a_name() {
        assert_eq!(gib("MemTotal:       24684016 kB\nMemFree: 1 kB\n"), Some(24));
        assert_eq!(version("6.1.0-18-build-of-somebody\n"), "6.1.0");
    }

    #[test]
    fn what_the_host_took_is_told_as_a_share_of_all_processor_time() {
        let at = |stat: &str| Ticks::of(stat).expect("a line of ticks");
        let (earlier, later) = (at("cpu  10 0 10 100 0 0 0 5 7 7\ncpu0 1\n"), at("cpu  50 0 30 230 0 0 0 15 9 9\n"));

        assert!((later.stolen_since(earlier) - 0.05).abs() < 1e-9, "{later:?}");
        assert!(later.stolen_since(later).abs() < 1e-9);
        assert!(Ticks::now().is_ok());
    }
}
