//! A whole stack of one test's own: every server and service as a process.

use std::path::PathBuf;

use client::Client;
use xtask::scratch::Scratch;
use xtask::stack::{Options, Stack};

/// A running stack; stopped, and its folder removed, when dropped.
pub struct TestStack {
    pub stack: Stack,
    // Dropped after the stack that lives in it.
    folder: Scratch,
}

/// Starts a stack without products and without an auditor, whose reads a test might mistake for its own; `env` are settings
/// of its services.
///
/// # Panics
/// It does not start.
pub fn stack(mut options: Options, env: &[(&str, &str)]) -> TestStack {
    let folder = Scratch::new("stack").expect("the temporary folder can be written");
    options.products = 0;
    let env = [("FRESHET_AUDIT_SAMPLES_PER_SECOND", "0")].iter().chain(env);
    options.service_env = env.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let stack = Stack::start(options, folder.path(), &programs(), &|_| {}).expect("the stack starts");
    TestStack { stack, folder }
}

impl TestStack {
    pub fn gateway(&self) -> Client {
        self.client(&self.stack.urls().gateway)
    }

    /// A client of one base URL with a key that allows everything.
    ///
    /// # Panics
    /// It is no `http://` URL.
    pub fn client(&self, url: &str) -> Client {
        client(url).with_key(self.key()).expect("the stack's key is one")
    }

    /// The key that the stack was started with.
    ///
    /// # Panics
    /// It has none, which cannot be once it has started.
    pub fn key(&self) -> &str {
        self.stack.api_key().expect("a stack that has started has a key")
    }

    /// One client for each read node.
    pub fn read_nodes(&self) -> Vec<Client> {
        self.stack.urls().read.iter().map(|url| client(url)).collect()
    }

    /// A file of the test's own in the stack's folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Kills a member as a power failure would and starts it again on the same port.
    ///
    /// # Panics
    /// It does not start again.
    pub fn kill_and_start_again(&mut self, name: &str) {
        tokio::task::block_in_place(|| {
            self.stack.process(name).expect("a member of the stack").kill9();
            self.stack.start_again(name).expect("the member starts again");
        });
    }
}

/// A client of one base URL, without a key: good for all that is only read.
///
/// # Panics
/// It is no `http://` URL.
pub fn client(url: &str) -> Client {
    Client::new(url).expect("an http URL")
}

/// Where the built services are: beside the folder of the test that runs.
///
/// # Panics
/// The test does not run from a build folder.
pub fn programs() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    test.ancestors().nth(2).expect("tests are built into target/<profile>/deps").to_owned()
}
