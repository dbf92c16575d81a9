//! Postgres: a primary, and replicas that stream from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Probe, is_root};
use crate::process::{Launch, Process, Stop};

/// The database, and the superuser that owns it.
const DATABASE: &str = "freshet";
const USER: &str = "freshet";

/// Every server has the same: a replica refuses to start with smaller limits than its primary.
const SETTINGS: [(&str, &str); 15] = [
    // Trust is enough on loopback, and no socket file needs a short path or a folder that two users may write.
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    // A search looks at thousands of rows all over the table: each that is not in here costs several times as much. Taken
    // from the machine only as it is filled.
    ("shared_buffers", "2GB"),
    ("wal_level", "replica"),
    // One for each of 16 replicas, and two while the last one is copied.
    ("max_wal_senders", "18"),
    ("max_replication_slots", "16"),
    // Many tests at once, each with pools of its own.
    ("max_connections", "300"),
    // A replica's long query is not cancelled by the primary's vacuum ...
    ("hot_standby_feedback", "on"),
    // How far the feedback may lag: what the outbox has lost since then is looked at again and again by the relay.
    ("wal_receiver_status_interval", "1s"),
    // ... and never holds up replay, which every reader waits for, for longer than this.
    ("max_standby_streaming_delay", "5s"),
    // A replica that lost its primary looks for it again soon; the default is 5 s.
    ("wal_retrieve_retry_interval", "200ms"),
    // After a checkpoint every page goes into the log as a whole once: fewer checkpoints, and packed pages.
    ("checkpoint_timeout", "15min"),
    ("max_wal_size", "2GB"),
    ("wal_compression", "on"),
    // A replica that is gone must not fill the primary's disk.
    ("max_slot_wal_keep_size", "1GB"),
];

/// For the C library: memory that a query gives back stays with its process, up to 16 MiB. By default what is larger than
/// 128 KiB goes back to the kernel, and each search takes it anew page by page: 900 page faults for one that looks at 15,000
/// pages of the table.
const MEMORY: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "16777216"), ("MALLOC_TRIM_THRESHOLD_", "16777216")];

/// Whether data must survive the loss of the machine (not only of the process).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Machine,
    /// Several times faster where every test makes its own database.
    Process,
}

/// A primary or a replica that is killed when dropped.
#[derive(Debug)]
pub struct Postgres {
    pub process: Process,
    port: u16,
}

impl Postgres {
    /// Starts a primary in `dir` (made and initialised if it is missing) and waits until it accepts connections.
    ///
    /// It is made for tests: fast rather than safe against a power failure.
    pub fn start(dir: &Path, port: u16) -> Result<Self> {
        Self::start_with(dir, port, Durability::Process)
    }

    /// The same, as safe as in production.
    pub fn start_durable(dir: &Path, port: u16) -> Result<Self> {
        Self::start_with(dir, port, Durability::Machine)
    }

    fn start_with(dir: &Path, port: u16, durability: Durability) -> Result<Self> {
        Ok(Self { process: Process::start(primary("primary", dir, port, durability)?)?, port })
    }

    /// Starts a replica of a running primary in `dir`, copied from it if `dir` or the `slot` is missing.
    pub fn start_replica_of(primary: &Self, dir: &Path, port: u16, slot: &str) -> Result<Self> {
        Ok(Self { process: Process::start(replica(slot, dir, port, primary.port, slot)?)?, port })
    }

    pub fn url(&self) -> String {
        url(self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn stop(&mut self) {
        self.process.stop();
    }
}

impl Drop for Postgres {
    /// A fast shutdown, not a kill: backends would outlive the postmaster for a moment and write into a folder that is being removed.
    fn drop(&mut self) {
        self.process.stop();
    }
}

/// How a primary is started in `dir`, which is initialised if it is missing.
pub fn primary(name: &str, dir: &Path, port: u16, durability: Durability) -> Result<Launch> {
    if !dir.exists() {
        initialise(dir)?;
    }
    let mut settings = Vec::new();
    if durability == Durability::Process {
        settings.push("fsync=off".to_owned());
    }
    server(name, dir, port, &settings)
}

/// How a replica of the running primary on `primary_port` is started in `dir`.
///
/// It is copied anew if `dir` is missing, or if the primary no longer keeps what the replica lacks.
pub fn replica(name: &str, dir: &Path, port: u16, primary_port: u16, slot: &str) -> Result<Launch> {
    let is_kept = query(
        primary_port,
        &format!(
            "select count(*) from pg_replication_slots where slot_name = '{slot}' and wal_status is distinct from 'lost'"
        ),
    )?;
    if !dir.exists() || is_kept != "1" {
        drop_slot(primary_port, slot)?;
        copy(dir, primary_port, slot)?;
    }
    // Given at every start, because the primary's port may have changed since the copy was made.
    let settings = [
        format!("primary_conninfo=host=127.0.0.1 port={primary_port} user={USER} application_name={slot}"),
        format!("primary_slot_name={slot}"),
    ];
    server(name, dir, port, &settings)
}

/// Forgets what the primary keeps for a replica that is gone; nothing happens if it keeps nothing.
pub fn drop_slot(primary_port: u16, slot: &str) -> Result<()> {
    query(
        primary_port,
        &format!("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '{slot}'"),
    )?;
    Ok(())
}

/// The URL of a server on `port`.
pub fn url(port: u16) -> String {
    format!("postgres://{USER}@127.0.0.1:{port}/{DATABASE}")
}

pub(super) fn is_ready(port: u16) -> bool {
    let Ok(pg_isready) = program("pg_isready") else { return false };
    Command::new(pg_isready)
        .args(["--quiet", "--host=127.0.0.1", "--port", &port.to_string()])
        .status()
        .is_ok_and(|status| status.success())
}

/// The folder of the newest installed server's programs.
pub(super) fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("Postgres is not installed")?;
    versions
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.parse::<u32>().ok())
        .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/postgres")).exists())
        .max()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .context("Postgres is not installed")
}

fn server(name: &str, dir: &Path, port: u16, settings: &[String]) -> Result<Launch> {
    let mut args = vec!["-D".to_owned(), dir.display().to_string(), "-p".to_owned(), port.to_string()];
    let shared = SETTINGS.iter().map(|(name, value)| format!("{name}={value}"));
    for setting in shared.chain(settings.iter().cloned()) {
        args.extend(["-c".to_owned(), setting]);
    }
    let (program, args) = as_owner(program("postgres")?, args);
    Ok(Launch {
        name: name.to_owned(),
        program,
        args,
        env: BTreeMap::from(MEMORY.map(|(name, value)| (name.to_owned(), value.to_owned()))),
        log: dir.with_extension("log"),
        stop: Stop::Interrupt,
        ready: Probe::Postgres { port },
    })
}

/// Makes a data folder with an empty database. It appears under its name only when it is complete.
fn initialise(dir: &Path) -> Result<()> {
    let unfinished = unfinished(dir)?;
    let data = unfinished.display().to_string();
    let args = ["-D", &data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"];
    run(as_owner(program("initdb")?, args.map(str::to_owned).into()), "")?;
    let args = ["--single", "-D", &data, "postgres"];
    run(as_owner(program("postgres")?, args.map(str::to_owned).into()), &format!("create database {DATABASE}\n"))?;
    Ok(fs::rename(unfinished, dir)?)
}

/// Copies the primary, and makes the slot that keeps what the copy lacks.
fn copy(dir: &Path, primary_port: u16, slot: &str) -> Result<()> {
    let unfinished = unfinished(dir)?;
    let primary = format!("host=127.0.0.1 port={primary_port} user={USER}");
    let data = unfinished.display().to_string();
    let args = ["-D", &data, "-R", "-X", "stream", "-c", "fast", "-C", "-S", slot, "--no-sync", "-d", &primary];
    run(as_owner(program("pg_basebackup")?, args.map(str::to_owned).into()), "")?;
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    Ok(fs::rename(unfinished, dir)?)
}

fn unfinished(dir: &Path) -> Result<PathBuf> {
    let unfinished = dir.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished)?;
    }
    fs::create_dir_all(dir.parent().context("a data folder has a parent")?)?;
    Ok(unfinished)
}

/// Postgres refuses to run as root, so root runs it as the user `postgres`.
///
/// The clone may lie under a folder that this user cannot enter (`/root`), so it keeps the one capability that lets it.
fn as_owner(program: PathBuf, args: Vec<String>) -> (PathBuf, Vec<String>) {
    if !is_root() {
        return (program, args);
    }
    let mut wrapped: Vec<String> = [
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--",
    ]
    .map(str::to_owned)
    .into();
    wrapped.push(program.display().to_string());
    wrapped.extend(args);
    ("setpriv".into(), wrapped)
}

/// The answer of the server on `port` to a query, unaligned and without a header.
pub fn query(port: u16, sql: &str) -> Result<String> {
    let target = url(port);
    let args = ["--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql, &target];
    let answer = run((program("psql")?, args.map(str::to_owned).into()), "")?;
    Ok(answer.trim().to_owned())
}

fn run((program, args): (PathBuf, Vec<String>), input: &str) -> Result<String> {
    use std::io::Write;
    let mut child = Command::new(&program)
        .args(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))?;
    child.stdin.take().expect("stdin is piped").write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {} failed: {error}", program.display(), args.join(" "));
    Ok(String::from_utf8(output.stdout)?)
}

/// One of the newest installed server's programs.
pub fn program(name: &str) -> Result<PathBuf> {
    Ok(programs()?.join(name))
}
