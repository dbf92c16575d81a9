//! Reads rows on a thread of its own and hands them on in chunks, no faster than the server takes them.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::Rows;
use super::report::{Refusal, Report};

/// Large enough that a chunk's overhead does not show, small enough that answers begin at once.
const CHUNK_BYTES: usize = 16 << 10;

/// Chunks read ahead while the server is busy.
const CHUNKS_AHEAD: usize = 4;

/// Rows sent and not answered yet: more than the sockets in between can hold, so that it never holds the stream back.
const UNANSWERED_MAX: usize = 1 << 20;

/// What the reader of the answers needs to know about the rows that were sent.
pub(crate) struct Pump {
    /// The source lines of the rows sent, in order, each known before its row is on its way.
    pub(crate) sent: mpsc::Receiver<u64>,
    /// Whether the source could be read to its end; there when the last row has been taken.
    pub(crate) ended: oneshot::Receiver<std::io::Result<()>>,
}

pub(crate) fn start(rows: Rows, report: Arc<Mutex<Report>>) -> (Pump, impl Stream<Item = Bytes> + Send + 'static) {
    let (chunks, taken) = mpsc::channel(CHUNKS_AHEAD);
    let (lines, sent) = mpsc::channel(UNANSWERED_MAX);
    let (end, ended) = oneshot::channel();
    // Not a blocking task: the runtime would wait for one that still reads a silent standard input.
    std::thread::spawn(move || {
        let read = pump(rows, &report, &lines, &chunks);
        // The receiver is gone only when the import has failed already.
        let _ = end.send(read);
    });
    (Pump { sent, ended }, ReceiverStream::new(taken))
}

fn pump(
    rows: Rows,
    report: &Mutex<Report>,
    lines: &mpsc::Sender<u64>,
    chunks: &mpsc::Sender<Bytes>,
) -> std::io::Result<()> {
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    let mut numbers = Vec::new();
    let flush = |chunk: &mut Vec<u8>, numbers: &mut Vec<u64>| {
        let are_told = numbers.drain(..).all(|line| lines.blocking_send(line).is_ok());
        are_told && chunks.blocking_send(Bytes::from(std::mem::take(chunk))).is_ok()
    };
    for row in rows {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                flush(&mut chunk, &mut numbers);
                return Err(error);
            }
        };
        match row.json {
            Ok(json) => {
                chunk.extend_from_slice(&json);
                chunk.push(b'\n');
                numbers.push(row.line);
            }
            Err(reason) => {
                let refusal = Refusal { line: row.line, sku: None, status: None, reason };
                report.lock().expect("no thread panics with the report in hand").refuse(refusal);
            }
        }
        if chunk.len() >= CHUNK_BYTES && !flush(&mut chunk, &mut numbers) {
            // Nobody takes rows any more; whoever reads the answers says why.
            return Ok(());
        }
    }
    if !chunk.is_empty() {
        flush(&mut chunk, &mut numbers);
    }
    Ok(())
}
