//! What the rows ask of a server beside the load: an answer with its headers, and its metrics.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// No server here takes longer for one answer; one that hangs must not hold up the end.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(15);

/// An answer of 200, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    /// A header's value; empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }
}

/// Asks once, on a connection of its own; any other status is an error.
pub(super) fn get(port: u16, path: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    // 1.0, whose answers are never chunked.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    read(&text).with_context(|| format!("GET {path}"))
}

/// The sum of a counter over those of its series whose labels hold `with`.
pub(super) fn counter(ops_port: u16, name: &str, with: &str) -> Result<f64> {
    let metrics = get(ops_port, "/metrics")?;
    Ok(sum(&metrics.body, name, with))
}

/// The port of a `scheme://host:port` URL.
pub(super) fn port_of(url: &str) -> Result<u16> {
    let port = url.rsplit(':').next().and_then(|port| port.split('/').next()).and_then(|port| port.parse().ok());
    port.with_context(|| format!("{url} names no port"))
}

fn read(text: &str) -> Result<Answer> {
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without an end of its headers")?;
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    ensure!(status.split(' ').nth(1) == Some("200"), "{status}: {body}");
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(Answer { headers: lines.filter_map(header).collect(), body: body.to_owned() })
}

fn sum(metrics: &str, name: &str, with: &str) -> f64 {
    let value = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_named = series.split('{').next() == Some(name) && series.contains(with);
        is_named.then(|| value.parse::<f64>().ok()).flatten()
    };
    metrics.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_summed_over_the_series_that_are_meant() {
        let metrics = "# TYPE x_total counter\nx_total{tier=\"near\",result=\"hit\"} 3\nx_total{tier=\"near\",result=\
                       \"miss\"} 4\nx_total{tier=\"redis\"} 5\nx_totals 6\nx_total 7\n";
        assert!((sum(metrics, "x_total", "tier=\"near\"") - 7.0).abs() < f64::EPSILON);
        assert!((sum(metrics, "x_total", "") - 19.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_answer_that_is_not_200_is_an_error() {
        let answer = read("HTTP/1.0 200 OK\r\nETag: \"1\"\r\nvary: a, b\r\n\r\n{}").expect("an answer");
        assert_eq!((answer.header("etag"), answer.header("Vary"), answer.body.as_str()), ("\"1\"", "a, b", "{}"));
        assert!(read("HTTP/1.0 503 Service Unavailable\r\n\r\n").is_err());
        assert!(read("HTTP/1.0 200 OK\r\n").is_err());
    }

    #[test]
    fn a_port_is_found_before_a_path_too() {
        assert_eq!(port_of("http://127.0.0.1:80").expect("a port"), 80);
        assert_eq!(port_of("postgres://freshet@127.0.0.1:5432/freshet").expect("a port"), 5432);
        assert!(port_of("http://localhost").is_err());
    }
}
