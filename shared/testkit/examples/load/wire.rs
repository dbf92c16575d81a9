//! HTTP/1.1 over one kept connection, with as little between the socket and the clock as possible.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Above every time that is measured here; after it a server hangs.
const ANSWER_MAX: Duration = Duration::from_secs(15);

pub(crate) struct Connection {
    host: String,
    stream: BufReader<TcpStream>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) etag: String,
    pub(crate) cache_status: String,
    pub(crate) as_of: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// From `ETag`; 0 if there is none.
    pub(crate) fn version(&self) -> Result<u64> {
        Ok(if self.etag.is_empty() { 0 } else { self.etag.trim_matches('"').parse()? })
    }
}

impl Connection {
    /// To an `http://host:port` URL.
    pub(crate) fn open(url: &str) -> Result<Self> {
        let host = url.strip_prefix("http://").context("an http:// URL is needed")?.trim_end_matches('/').to_owned();
        let stream = TcpStream::connect(&host).with_context(|| format!("{url} is not reached"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Self { host, stream: BufReader::new(stream) })
    }

    /// `headers` are whole lines, each with its end.
    pub(crate) fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
        let length = body.len();
        // One write, so that it is one packet.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {length}\r\n{headers}\r\n{body}",
            self.host
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.read()
    }

    fn read(&mut self) -> Result<Answer> {
        let mut line = String::new();
        ensure!(self.stream.read_line(&mut line)? > 0, "the server hung up");
        let status = line.split(' ').nth(1).context("an answer without a status")?.parse()?;
        let (mut etag, mut cache_status, mut as_of) = (String::new(), String::new(), String::new());
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = Some(value.parse()?),
                "etag" => value.clone_into(&mut etag),
                "cache-status" => value.clone_into(&mut cache_status),
                "catalog-as-of" => value.clone_into(&mut as_of),
                _ => {}
            }
        }
        let mut body = vec![0; length.context("an answer without a length")?];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { status, etag, cache_status, as_of, body })
    }
}
