//! A child process that can be found again, watched and ended, also by a later run of this program.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::interrupt;
use crate::servers::Probe;

/// Between two looks at a condition: short beside the start of any server, long beside the cost of a look.
const POLL: Duration = Duration::from_millis(20);
/// Longest start of a server: recovery of a database after a kill included.
const START_MAX: Duration = Duration::from_mins(1);
/// Longest orderly stop: a service drains for up to 11 s by its defaults.
const STOP_MAX: Duration = Duration::from_secs(20);
/// What is shown of the log of a process that died.
const LOG_LINES_SHOWN: usize = 20;
/// Read from the end of a log for them; logs grow for as long as a stack runs.
const LOG_BYTES_READ: u64 = 64 * 1024;

/// How a process is started, known to be ready and asked to stop.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Launch {
    pub name: String,
    pub program: PathBuf,
    pub args: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Receives stdout and stderr, appended.
    pub log: PathBuf,
    pub stop: Stop,
    pub ready: Probe,
}

/// The signal that asks a program to finish in order.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Stop {
    Term,
    /// Postgres: end sessions now, checkpoint, exit.
    Interrupt,
    /// nginx: answer what was asked, then exit.
    Quit,
}

/// A started process. A pid alone names nothing for long, so its start time is part of its identity.
#[derive(Debug, Serialize, Deserialize)]
pub struct Process {
    pub launch: Launch,
    pid: i32,
    started_ticks: u64,
    /// Only the parent can reap; a process found in a state file has another parent.
    #[serde(skip)]
    child: Option<Child>,
}

impl Process {
    /// Starts it in a process group of its own, so that a terminal's Ctrl-C reaches only this program.
    pub fn spawn(launch: Launch) -> Result<Self> {
        if let Some(folder) = launch.log.parent() {
            fs::create_dir_all(folder)?;
        }
        let log = File::options().create(true).append(true).open(&launch.log)?;
        let child = Command::new(&launch.program)
            .args(&launch.args)
            .envs(&launch.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} does not start ({})", launch.name, launch.program.display()))?;
        let pid = i32::try_from(child.id()).expect("Linux pids fit an i32");
        let started_ticks = stat(pid).map_or(0, |stat| stat.started_ticks);
        Ok(Self { launch, pid, started_ticks, child: Some(child) })
    }

    /// Starts it and waits until it is ready.
    pub fn start(launch: Launch) -> Result<Self> {
        let mut process = Self::spawn(launch)?;
        match process.wait_until_ready() {
            Ok(()) => Ok(process),
            Err(error) => {
                process.kill9();
                Err(error)
            }
        }
    }

    /// Waits for the first answer that says ready; a death or a signal meanwhile ends the wait.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_MAX;
        // The life is looked at first: whoever answers while ours is dead is somebody else on its port.
        while !(self.is_alive() && self.launch.ready.is_met()) {
            if interrupt::take() {
                bail!("interrupted while {} was starting", self.launch.name);
            }
            if !self.is_alive() {
                bail!("{} ended while starting\n{}", self.launch.name, self.last_log_lines());
            }
            if Instant::now() > deadline {
                bail!("{} is not ready after {START_MAX:?}\n{}", self.launch.name, self.last_log_lines());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether this very process runs; a zombie and another process with its number do not count.
    pub fn is_alive(&mut self) -> bool {
        if let Some(child) = &mut self.child
            && !matches!(child.try_wait(), Ok(None))
        {
            return false;
        }
        self.is_ours()
    }

    /// Asks it to stop and returns at once.
    pub fn ask_to_stop(&mut self) {
        self.signal(match self.launch.stop {
            Stop::Term => Signal::TERM,
            Stop::Interrupt => Signal::INT,
            Stop::Quit => Signal::QUIT,
        });
    }

    /// Asks it to stop, waits, and kills it at the deadline or when a signal is pending.
    pub fn stop(&mut self) {
        self.ask_to_stop();
        self.wait_until_stopped();
    }

    /// Waits for a process that was asked to stop, and kills it at the deadline or when a signal is pending.
    pub fn wait_until_stopped(&mut self) {
        let deadline = Instant::now() + STOP_MAX;
        while self.is_alive() {
            if interrupt::is_pending() || Instant::now() > deadline {
                self.kill9();
            }
            thread::sleep(POLL);
        }
        self.kill_orphans();
    }

    /// `kill -9` of the process and its group (workers that would outlive it), and waits until it is gone.
    pub fn kill9(&mut self) {
        while self.is_alive() {
            if let Some(group) = Pid::from_raw(self.pid) {
                // The leader lives and is ours, so the group of its number is ours too. An error means that it has just ended.
                let _ = kill_process_group(group, Signal::KILL);
            }
            thread::sleep(POLL);
        }
        self.kill_orphans();
    }

    /// Freezes it: connections stay open, nothing answers.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused process go on.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to read its configuration again.
    pub fn reload(&mut self) {
        self.signal(Signal::HUP);
    }

    /// The end of its log, with its name, as shown when it has died.
    pub fn last_log_lines(&self) -> String {
        let text = tail(&self.launch.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let shown = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n  | ");
        format!("last lines of {} ({}):\n  | {shown}\n", self.launch.name, self.launch.log.display())
    }

    /// A pidfd is opened before the identity is checked: whatever it names then cannot change any more.
    fn signal(&mut self, signal: Signal) {
        let Some(pid) = Pid::from_raw(self.pid) else { return };
        if let Ok(exact) = pidfd_open(pid, PidfdFlags::empty())
            && self.is_alive()
        {
            // An error means that it has just ended, which is no news to who asks it to.
            let _ = pidfd_send_signal(&exact, signal);
        }
    }

    /// Workers whose leader was killed by somebody else: those of nginx go on listening on its port.
    ///
    /// The number of a group alone is no proof that it is ours: nobody else may bear it now, and its processes must run our
    /// program and be younger.
    fn kill_orphans(&self) {
        let Ok(program) = self.launch.program.canonicalize() else { return };
        if stat(self.pid).is_some_and(|stat| stat.started_ticks != self.started_ticks) {
            return;
        }
        let is_orphan = |pid: i32| {
            stat(pid).is_some_and(|stat| stat.group == self.pid && stat.started_ticks >= self.started_ticks)
                && pid != self.pid
                && fs::read_link(proc(pid).join("exe")).is_ok_and(|running| running == program)
        };
        for pid in pids().into_iter().filter(|pid| is_orphan(*pid)).filter_map(Pid::from_raw) {
            // An error means that it has just ended.
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    fn is_ours(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started_ticks == self.started_ticks && !stat.is_dead)
    }
}

fn tail(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_BYTES_READ)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn proc(pid: i32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// Of every process there is.
fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What `/proc` says about a pid.
struct Stat {
    group: i32,
    started_ticks: u64,
    is_dead: bool,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(proc(pid).join("stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything. Then come the state, the parent, the
    // group and, as the 22nd, the start.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let is_dead = matches!(fields.next()?, "Z" | "X");
    let group = fields.nth(1)?.parse().ok()?;
    Some(Stat { group, started_ticks: fields.nth(16)?.parse().ok()?, is_dead })
}
