//! nginx as the gateway, configured by `services/gateway/nginx.conf`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Probe, is_root, program};
use crate::process::{Launch, Process, Stop};
use crate::repository;

/// From the first answer that closes its connection to the reload: longer than nearly every request takes.
const CLOSING: Duration = Duration::from_millis(500);

/// What a gateway's configuration is made of.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Holds the configuration, the pid file and the temporary files.
    pub dir: PathBuf,
    pub port: u16,
    /// The ports of the nodes that GET and HEAD go to.
    pub read: Vec<u16>,
    /// The ports of the nodes that everything else goes to.
    pub write: Vec<u16>,
}

impl Gateway {
    /// Writes and checks the configuration and says how nginx is started with it.
    pub fn launch(&self, name: &str) -> Result<Launch> {
        Ok(launch(name, &self.dir, &self.configure()?, self.port))
    }

    /// Writes and checks the configuration and lets a running nginx, started with `last`, take it over.
    ///
    /// No request is lost: clients are first asked to connect anew, so that no connection is idle but soon to be used.
    pub fn reload(&self, last: &Self, running: &mut Process) -> Result<()> {
        self.configure()?;
        fs::write(last.closing_marker(), "")?;
        thread::sleep(CLOSING);
        running.reload();
        Ok(())
    }

    /// The configuration replaces the last one only if nginx accepts it.
    fn configure(&self) -> Result<PathBuf> {
        fs::create_dir_all(&self.dir)?;
        if self.closing_marker().exists() {
            fs::remove_file(self.closing_marker())?;
        }
        let config = self.dir.join("nginx.conf");
        let candidate = self.dir.join("nginx.conf.candidate");
        fs::write(&candidate, self.render()?)?;
        let check = Command::new(program("nginx")).arg("-t").args(arguments(&self.dir, &candidate)).output()?;
        ensure!(check.status.success(), "nginx refuses its configuration: {}", String::from_utf8_lossy(&check.stderr));
        fs::rename(candidate, &config)?;
        Ok(config)
    }

    fn render(&self) -> Result<String> {
        // Workers of a root's nginx would become another user, who may not be able to enter the folder.
        let user = if is_root() { "user root;" } else { "" };
        let text = fs::read_to_string(repository::file("services/gateway/nginx.conf"))?
            .replace("@USER@", user)
            .replace("@DIR@", &quoted(&self.dir)?)
            .replace("@GENERATION@", &self.generation())
            .replace("@WAYS@", &quoted(&repository::file("services/gateway/ways.conf"))?)
            .replace("@PORT@", &self.port.to_string())
            .replace("@OPENAPI@", &quoted(&repository::file("services/gateway/openapi.json"))?)
            .replace("@READ_SERVERS@", &servers(&self.read))
            .replace("@WRITE_SERVERS@", &servers(&self.write));
        Ok(text)
    }

    /// Each set of nodes has its own marker: the next configuration must not find that of the last one.
    fn closing_marker(&self) -> PathBuf {
        self.dir.join(format!("closing-{}", self.generation()))
    }

    fn generation(&self) -> String {
        let ports =
            [&self.read, &self.write].map(|ports| ports.iter().map(u16::to_string).collect::<Vec<_>>().join("-"));
        ports.join("-and-")
    }
}

/// How nginx is started in `dir` with a configuration that listens on `port` and stays in the foreground.
pub fn launch(name: &str, dir: &Path, config: &Path, port: u16) -> Launch {
    Launch {
        name: name.to_owned(),
        program: program("nginx"),
        args: arguments(dir, config),
        env: BTreeMap::new(),
        log: dir.join("nginx.log"),
        stop: Stop::Quit,
        ready: Probe::Listening { port },
    }
}

fn servers(ports: &[u16]) -> String {
    let lines: Vec<String> =
        ports.iter().map(|port| format!("        server 127.0.0.1:{port} max_fails=3 fail_timeout=1s;")).collect();
    lines.join("\n")
}

/// A path as nginx reads it between quotes, where `$` begins a variable.
fn quoted(path: &Path) -> Result<String> {
    let text = path.display().to_string();
    ensure!(!text.contains(['$', '"', '\\']), "nginx cannot name the folder {text}");
    Ok(text)
}

fn arguments(dir: &Path, config: &Path) -> Vec<String> {
    // Without `-e` it would open the package's own log, which only root may.
    ["-p", &dir.display().to_string(), "-e", "stderr", "-c", &config.display().to_string()].map(str::to_owned).into()
}
