//! The commands around a stack, with real servers and stand-ins for the services.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use xtask::scratch::Scratch;
use xtask::servers::http_get;
use xtask::stack::{Options, Stack};

/// A start takes seconds; only what never happens fails.
const WAIT_MAX: Duration = Duration::from_mins(1);

struct Place {
    scratch: Scratch,
}

impl Place {
    fn new() -> Self {
        let scratch = Scratch::new("stack").unwrap();
        let standin = env::current_exe().unwrap().ancestors().nth(2).unwrap().join("examples/standin");
        fs::create_dir(scratch.path().join("bin")).unwrap();
        for program in ["freshet-write", "freshet-read", "freshet-projector", "freshet"] {
            symlink(&standin, scratch.path().join("bin").join(program)).unwrap();
        }
        Self { scratch }
    }

    fn bin_dir(&self) -> PathBuf {
        self.scratch.path().join("bin")
    }

    fn state_dir(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args(arguments).arg("--state-dir").arg(self.state_dir());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn up(&self) -> Command {
        let mut up = self.command(&["up", "--products", "0"]);
        up.arg("--bin-dir").arg(self.bin_dir());
        up
    }

    fn up_in_the_foreground(&self) -> Child {
        let up = self.up().stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        eventually("the stack is up", || self.run(&["status"]).status.success());
        up
    }

    fn start(&self, options: Options) -> Stack {
        Stack::start(Options { products: 0, ..options }, &self.state_dir(), &self.bin_dir(), &|_| ()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run(&["down"]);
    }
}

fn eventually(what: &str, mut is_met: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT_MAX;
    while !is_met() {
        assert!(Instant::now() < deadline, "{what}: not within {WAIT_MAX:?}");
        thread::park_timeout(Duration::from_millis(50));
    }
}

fn error_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Its exit code and everything it said on standard error.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_stack_keeps_its_ports_and_changes_its_size_when_started_again() {
    let place = Place::new();
    let mut first = place.start(Options { replicas: 2, ..Options::default() });
    let urls = first.urls().to_string();
    assert_eq!(first.urls().replicas.len(), 2);
    let key = first.api_key().unwrap().to_owned();
    assert!(!urls.contains(&key), "what is shown to people holds no secret");
    for (file, content) in [("urls.env", Some(format!("{urls}API_KEY={key}\n"))), ("stack.json", None)] {
        let path = place.state_dir().join(file);
        assert!(content.is_none_or(|content| fs::read_to_string(&path).unwrap() == content));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    first.stop().unwrap();

    let second = place.start(Options { replicas: 1, ..Options::default() });

    assert_eq!(second.urls().gateway, first.urls().gateway);
    assert_eq!(second.api_key(), Some(key.as_str()));
    assert_eq!(second.urls().replicas, first.urls().replicas[..1]);
    assert!(!place.state_dir().join("replica-2").exists());
}

#[test]
fn a_member_is_killed_and_started_again_on_its_port() {
    let place = Place::new();
    let mut stack = place.start(Options::default());
    let port = stack.urls().read[0].rsplit(':').next().unwrap().parse().unwrap();

    for name in ["redis", "nats", "read-1", "gateway"] {
        // From elsewhere, as `kill -9` does it: what outlives nginx would keep its port.
        let killed = Command::new("kill").args(["-9", &stack.process(name).unwrap().pid().to_string()]).status();
        assert!(killed.unwrap().success());
        eventually("its death is seen", || stack.dead().is_some_and(|(dead, _)| dead == name));
        stack.start_again(name).unwrap();
    }

    assert!(stack.dead().is_none());
    assert_eq!(http_get(port, "/").unwrap().status, 200);
}

#[test]
fn a_second_up_is_refused_and_a_dead_process_is_shown() {
    let place = Place::new();
    assert!(!place.run(&["status"]).status.success());
    let up = place.up().arg("--detach").output().unwrap();
    assert!(up.status.success(), "{}", error_of(&up));

    let second = place.up().output().unwrap();
    assert!(!second.status.success());
    assert!(error_of(&second).contains("already runs"), "{}", error_of(&second));

    assert!(place.run(&["status"]).status.success());
    let mut stack = Stack::running(&place.state_dir()).unwrap();
    stack.process("projector-1").unwrap().kill9();
    let status = place.run(&["status"]);
    assert!(!status.status.success());
    assert!(String::from_utf8_lossy(&status.stdout).contains("dead"));
    assert!(error_of(&status).contains("| standing in"), "{}", error_of(&status));

    assert!(place.run(&["down", "--wipe"]).status.success());
    assert!(!place.state_dir().exists());
}

#[test]
fn a_damaged_record_is_named_and_wiping_begins_anew() {
    let place = Place::new();
    fs::create_dir(place.state_dir()).unwrap();
    fs::write(place.state_dir().join("stack.json"), "{").unwrap();

    let up = place.up().output().unwrap();
    assert!(error_of(&up).contains("`cargo xtask down --wipe` begins anew"), "{}", error_of(&up));

    assert!(place.run(&["down", "--wipe"]).status.success());
    assert!(!place.state_dir().exists());
}

#[test]
fn an_added_node_is_watched_and_its_death_ends_up() {
    let place = Place::new();
    let up = place.up_in_the_foreground();
    let added = place.run(&["add-read-node"]);
    assert!(added.status.success(), "{}", error_of(&added));

    let mut stack = Stack::running(&place.state_dir()).unwrap();
    assert_eq!(stack.urls().read.len(), 3);
    stack.process("read-3").unwrap().kill9();
    let (code, said) = ended(up);

    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("read-3 died"), "{said}");
    assert!(said.contains("| standing in"), "{said}");
    assert!(!Stack::load(&place.state_dir()).unwrap().unwrap().is_running());
}

#[test]
fn ctrl_c_stops_everything() {
    let place = Place::new();
    let up = place.up_in_the_foreground();
    let gateway = Stack::running(&place.state_dir()).unwrap().urls().gateway;

    let interrupted = Command::new("kill").args(["-INT", &up.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let (code, said) = ended(up);

    assert_eq!(code, Some(0), "{said}");
    assert!(http_get(gateway.rsplit(':').next().unwrap().parse().unwrap(), "/").is_err());
    assert!(!Stack::load(&place.state_dir()).unwrap().unwrap().is_running());
}

#[test]
fn a_stack_stopped_from_elsewhere_ends_up_without_an_error() {
    let place = Place::new();
    let up = place.up_in_the_foreground();

    assert!(place.run(&["down"]).status.success());
    let (code, said) = ended(up);

    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped by another command"), "{said}");
}
