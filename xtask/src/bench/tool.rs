//! Load generators: programs that run to their end and say what they measured, or are ended with us.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use xtask::interrupt;

/// Between two looks at a running tool: short beside a round.
const POLL: Duration = Duration::from_millis(5);

/// Milliseconds that half, all but one in a hundred, and all of the times did not exceed.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms", self.p50, self.p99)
    }
}

/// A running program in a group of its own, killed with its children when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
                // An error means that it has just ended.
                let _ = kill_process_group(group, Signal::KILL);
            }
            // Reaped; there is nobody left to tell of an error.
            let _ = self.0.wait();
        }
    }
}

/// Runs it to its end and returns what it printed.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn();
    let mut running = Running(child.with_context(|| format!("{name} does not start"))?);
    // Read beside the wait, so that a full pipe stops nobody.
    let printed = thread::spawn(collect(running.0.stdout.take()));
    let complained = thread::spawn(collect(running.0.stderr.take()));
    let status = loop {
        if let Some(status) = running.0.try_wait()? {
            break status;
        }
        if interrupt::is_pending() {
            bail!("interrupted");
        }
        thread::sleep(POLL);
    };
    let texts = [printed, complained].map(|reader| reader.join().expect("a reader does not panic"));
    ensure!(status.success(), "{name} failed ({status}): {}{}", texts[0], texts[1]);
    let [printed, _] = texts;
    Ok(printed)
}

/// Runs our load generator, which prints one JSON value; `key` is for what it writes.
pub(super) fn load<T: DeserializeOwned>(bin_dir: &Path, key: Option<&str>, args: &[impl AsRef<OsStr>]) -> Result<T> {
    let key = key.map(|key| ("FRESHET_API_KEY", key));
    let printed = output(Command::new(bin_dir.join("examples/load")).args(args).envs(key))?;
    serde_json::from_str(&printed).with_context(|| format!("the load generator printed {printed:?}"))
}

fn collect(from: Option<impl Read>) -> impl FnOnce() -> String {
    move || {
        let mut bytes = Vec::new();
        // What was read before an error is still of use.
        let _ = from.map(|mut from| from.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tool_prints_is_returned_and_what_it_complains_of_is_the_error() {
        assert_eq!(output(Command::new("sh").args(["-c", "echo 12"])).expect("it ends well"), "12\n");

        let error = output(Command::new("sh").args(["-c", "echo no >&2; exit 3"])).expect_err("it ends badly");

        assert!(error.to_string().contains("no"), "{error}");
    }
}
