//! Lets one port speak HTTP/1.1 and HTTP/2: waits, for a limited time, until a connection shows which it is.
//!
//! hyper tells the two apart by itself, but waits for ever for whoever connects and says nothing.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// What an HTTP/2 connection begins with (RFC 9113, section 3.4); no other HTTP request does.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Between two looks at a preface that arrives in pieces, which only a slow or hostile client sends.
const POLL: Duration = Duration::from_millis(5);

/// Accepts connections that begin to speak within `timeout`.
#[derive(Clone, Debug)]
pub(crate) struct Speaking {
    pub(crate) timeout: Duration,
}

impl<S: Send + 'static> Accept<TcpStream, S> for Speaking {
    type Stream = TcpStream;
    type Service = S;
    type Future = Pin<Box<dyn Future<Output = io::Result<(TcpStream, S)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let limit = self.timeout;
        Box::pin(async move {
            stream.set_nodelay(true)?;
            timeout(limit, has_begun(&stream)).await??;
            Ok((stream, service))
        })
    }
}

/// Returns once the first bytes are there that tell the protocols apart, or the peer has closed.
async fn has_begun(stream: &TcpStream) -> io::Result<()> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 || count == PREFACE.len() || seen[..count] != PREFACE[..count] {
            return Ok(());
        }
        sleep(POLL).await;
    }
}
