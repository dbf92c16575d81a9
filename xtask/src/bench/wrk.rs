//! `wrk`: one thread, 32 connections or as many as a row says, as fast as they are answered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::tool;

pub(super) const PACKAGE: &str = "wrk";
pub(super) const CONNECTIONS: u32 = 32;

/// Asks for the products from the first to the last argument, or for the paths that the arguments are, in order, again and
/// again. The requests are made before the load begins, so that the generator costs as little as it can.
const SCRIPT: &str = r#"
local requests, asked = {}, 0

function init(args)
    if tonumber(args[1]) then
        for id = tonumber(args[1]), tonumber(args[2]) do
            requests[#requests + 1] = wrk.format("GET", "/products/" .. id)
        end
    else
        for _, path in ipairs(args) do
            requests[#requests + 1] = wrk.format("GET", path)
        end
    end
end

function request()
    asked = asked % #requests + 1
    return requests[asked]
end
"#;

/// Patches one of as many products as the first argument says, by turns a price and a stock. The numbers go on from run to run
/// by the clock: a patch that changes nothing would cost nothing.
const PATCHES: &str = r#"
local products, patched = 1, 0

function init(args)
    products = tonumber(args[1])
    math.randomseed(os.time())
    wrk.headers["Content-Type"] = "application/merge-patch+json"
    wrk.headers["Authorization"] = "Bearer @KEY@"
end

function request()
    patched = patched + 1
    local value = math.random(1, 1000000)
    local body
    if patched % 2 == 0 then
        body = string.format('{"price":"%d.%02d"}', value / 100, value % 100)
    else
        body = string.format('{"stock":%d}', value)
    end
    return wrk.format("PATCH", "/products/" .. math.random(1, products), nil, body)
end
"#;

/// What it prints at the end.
const DONE: &str = r#"
function done(summary, latency, _)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format('{"requests":%d,"microseconds":%d,"failed":%d}\n', summary.requests, summary.duration, failed))
end
"#;

/// The script in a file, for one port.
pub(super) struct Wrk {
    script: PathBuf,
}

/// What one run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Load {
    pub(super) requests: u64,
    microseconds: u64,
    failed: u64,
}

impl Wrk {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        Self::of(folder.join("products.lua"), SCRIPT)
    }

    pub(super) fn of_patches(folder: &Path, key: &str) -> Result<Self> {
        Self::of(folder.join("patches.lua"), &PATCHES.replace("@KEY@", key))
    }

    fn of(script: PathBuf, text: &str) -> Result<Self> {
        fs::write(&script, format!("{text}{DONE}"))?;
        Ok(Self { script })
    }

    /// Patches the products up to this id over so many connections.
    pub(super) fn patch(&self, port: u16, products: u32, connections: u32, time: Duration) -> Result<Load> {
        self.ask(port, &[&products.to_string()], connections, time)
    }

    /// Asks for the products `ids` for a time; an answer other than 2xx or 3xx is an error.
    pub(super) fn run(&self, port: u16, ids: (u32, u32), time: Duration) -> Result<Load> {
        self.ask(port, &[&ids.0.to_string(), &ids.1.to_string()], CONNECTIONS, time)
    }

    /// Asks for one path.
    pub(super) fn run_path(&self, port: u16, path: &str, time: Duration) -> Result<Load> {
        self.ask(port, &[path], CONNECTIONS, time)
    }

    fn ask(&self, port: u16, asked: &[&str], connections: u32, time: Duration) -> Result<Load> {
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--connections", &connections.to_string()])
            .args(["--duration", &format!("{}s", time.as_secs())])
            .arg("--script")
            .arg(&self.script)
            .args([&format!("http://127.0.0.1:{port}"), "--"])
            .args(asked);
        read(&tool::output(&mut wrk)?)
    }
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "no run makes 2^53 requests or lasts as many microseconds")]
    pub(super) fn per_second(self) -> f64 {
        self.requests as f64 * 1e6 / self.microseconds as f64
    }
}

/// The last line is the script's; before it wrk prints for people.
fn read(printed: &str) -> Result<Load> {
    let line = printed.lines().rfind(|line| line.starts_with('{')).context("wrk printed no result")?;
    let load: Load = serde_json::from_str(line)?;
    ensure!(load.failed == 0, "{} of {} requests failed:\n{printed}", load.failed, load.requests);
    ensure!(load.requests > 0, "nothing was answered:\n{printed}");
    Ok(load)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Running 1s test @ http://127.0.0.1:1\n  1 threads and 32 connections\n  \
                           Thread Stats   Avg      Stdev     Max   +/- Stdev\nRequests/sec:  50001.00\n";

    #[test]
    fn the_rate_is_taken_from_the_line_of_the_script() {
        let load = read(&format!("{PRINTED}{{\"requests\":60000,\"microseconds\":2000000,\"failed\":0}}\n"));
        assert!((load.expect("a result").per_second() - 30_000.0).abs() < 1e-9);
    }

    #[test]
    fn a_run_with_failures_or_without_a_result_is_no_measurement() {
        for bad in [
            "",
            "{\"requests\":60000,\"microseconds\":2000000,\"failed\":1}",
            "{\"requests\":0,\"microseconds\":2000000,\"failed\":0}",
        ] {
            assert!(read(&format!("{PRINTED}{bad}\n")).is_err(), "{bad}");
        }
    }
}
