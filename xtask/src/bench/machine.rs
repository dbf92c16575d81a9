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
}
