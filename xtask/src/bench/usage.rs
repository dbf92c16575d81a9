//! What a process has used so far, as `/proc` tells it.

use std::fs;

use anyhow::{Context, Result};

/// The kernel counts processor time in ticks of a hundredth of a second for every program, whatever its own clock is.
const MICROSECONDS_PER_TICK: u32 = 10_000;

/// User and system time of all its threads.
pub(super) fn cpu_microseconds(pid: i32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("/proc/{pid}/stat has another form"))?;
    Ok(f64::from(ticks) * f64::from(MICROSECONDS_PER_TICK))
}

/// Memory that is resident now.
pub(super) fn resident_bytes(pid: i32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = resident_kib(&status).with_context(|| format!("/proc/{pid}/status has another form"))?;
    Ok(f64::from(kib) * 1024.0)
}

fn cpu_ticks(stat: &str) -> Option<u32> {
    // The second field is the program's name in parentheses and may hold anything; the 14th and 15th are the times.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u32>().ok();
    Some(next()? + next()?)
}

fn resident_kib(status: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_memory_are_found_in_what_the_kernel_says() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 120 30 9 9 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(150));
        assert_eq!(resident_kib("Name:\tx\nVmRSS:\t    5120 kB\n"), Some(5120));
        assert!(resident_bytes(i32::try_from(std::process::id()).expect("a pid")).expect("our own") > 1e6);
    }
}
