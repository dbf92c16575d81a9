//! Processes beside the stack that a row compares with: another read node, the bare server, nginx with a cache.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;

use anyhow::{Result, ensure};
use xtask::ports;
use xtask::process::{Launch, Process, Stop};
use xtask::servers::{Probe, is_root, nginx};
use xtask::stack::service_threads;

use super::http::Answer;
use super::{Bench, tool};

/// A process that is killed when dropped.
pub(super) struct Aside {
    pub(super) process: Process,
    pub(super) port: u16,
    /// Of a read node; of others the same as `port`.
    pub(super) ops_port: u16,
}

impl Aside {
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.process.kill9();
    }
}

/// What is said of the answer by whoever sends it, so that both sides send the same.
const OF_THE_SERVER: [&str; 4] = ["content-length", "connection", "date", "transfer-encoding"];

impl Bench<'_> {
    /// How a read node like those of the stack is started, with other settings, on the two ports it is given.
    pub(super) fn read_node(&mut self, name: &str, settings: &[(&str, &str)]) -> Result<(Launch, u16, u16)> {
        let like = self.stack.process("read-1")?.launch.clone();
        let port = ports::free(2);
        let mut env = like.env;
        env.insert("FRESHET_LISTEN".to_owned(), format!("127.0.0.1:{}", port[0]));
        env.insert("FRESHET_OPS_LISTEN".to_owned(), format!("127.0.0.1:{}", port[1]));
        env.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let launch = Launch {
            name: name.to_owned(),
            env,
            log: self.folder().join(format!("{name}.log")),
            ready: Probe::Ready { port: port[1] },
            program: like.program,
            args: like.args,
            stop: like.stop,
        };
        Ok((launch, port[0], port[1]))
    }

    /// Starts one and waits until it is ready.
    pub(super) fn start_read_node(&mut self, name: &str, settings: &[(&str, &str)]) -> Result<Aside> {
        let (launch, port, ops_port) = self.read_node(name, settings)?;
        Ok(Aside { process: Process::start(launch)?, port, ops_port })
    }

    /// A server of the same framework that does nothing but send this answer.
    pub(super) fn start_bare(&self, answer: &Answer) -> Result<Aside> {
        let port = ports::free(1)[0];
        let body = self.folder().join("bare.json");
        fs::write(&body, &answer.body)?;
        let mut args = vec!["--listen".to_owned(), format!("127.0.0.1:{port}")];
        args.extend(["--body".to_owned(), body.display().to_string()]);
        for (name, value) in &answer.headers {
            if !OF_THE_SERVER.contains(&name.to_ascii_lowercase().as_str()) {
                args.extend(["--header".to_owned(), format!("{name}: {value}")]);
            }
        }
        let launch = Launch {
            name: "bare".to_owned(),
            program: self.bin_dir.join("examples/bare"),
            args,
            env: BTreeMap::from([("TOKIO_WORKER_THREADS".to_owned(), service_threads())]),
            log: self.folder().join("bare.log"),
            stop: Stop::Term,
            ready: Probe::Listening { port },
        };
        Ok(Aside { process: Process::start(launch)?, port, ops_port: port })
    }

    /// nginx that keeps what the server on `upstream` answers, on disk as it does, for longer than any row takes.
    pub(super) fn start_nginx_cache(&self, upstream: u16) -> Result<Aside> {
        let port = ports::free(1)[0];
        let dir = self.folder().join("nginx-cache");
        fs::create_dir_all(&dir)?;
        let shown = dir.display().to_string();
        ensure!(!shown.contains(['$', '"', '\\']), "nginx cannot name the folder {shown}");
        let config = CACHE_CONFIG
            .replace("@USER@", if is_root() { "user root;" } else { "" })
            .replace("@DIR@", &shown)
            .replace("@WORKERS@", &service_threads())
            .replace("@PORT@", &port.to_string())
            .replace("@UPSTREAM@", &upstream.to_string());
        let file = dir.join("nginx.conf");
        fs::write(&file, config)?;
        let launch = nginx::launch("nginx-cache", &dir, &file, port);
        Ok(Aside { process: Process::start(launch)?, port, ops_port: port })
    }

    /// Runs our load generator, which prints one JSON value.
    pub(super) fn load<T: serde::de::DeserializeOwned>(&self, args: &[impl AsRef<OsStr>]) -> Result<T> {
        tool::load(&self.bin_dir, self.stack.api_key(), args)
    }
}

/// As many workers as the read node has threads here; no log, connections kept, files kept open: at its best.
const CACHE_CONFIG: &str = r#"
@USER@
daemon off;
worker_processes @WORKERS@;
pid "@DIR@/nginx.pid";
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    tcp_nodelay on;
    sendfile on;
    keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=1h;
    client_body_temp_path "@DIR@/client_body";
    proxy_temp_path "@DIR@/proxy";
    fastcgi_temp_path "@DIR@/fastcgi";
    uwsgi_temp_path "@DIR@/uwsgi";
    scgi_temp_path "@DIR@/scgi";
    proxy_cache_path "@DIR@/kept" levels=1:2 keys_zone=kept:10m inactive=1h use_temp_path=off;
    upstream node {
        server 127.0.0.1:@UPSTREAM@;
        keepalive 32;
    }
    server {
        listen 127.0.0.1:@PORT@;
        location / {
            proxy_pass http://node;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_cache kept;
            proxy_cache_lock on;
            # The node asks for a look at every request; this row is about not looking.
            proxy_ignore_headers Cache-Control Vary;
            proxy_cache_valid 200 1h;
        }
    }
}
"#;
