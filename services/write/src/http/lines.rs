//! The lines of a body that is still arriving, in bounded memory.

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::body::LINE_BYTES_MAX;

/// One line that is not empty.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Counted from 1, empty lines included.
    pub(super) number: u64,
    /// Without its newline; `None` if it is longer than a line may be.
    pub(super) text: Option<Bytes>,
}

/// Holds at most one line and one chunk of the body.
pub(super) struct Lines {
    body: BodyDataStream,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no newline.
    searched: usize,
    number: u64,
    /// The rest of the current line is thrown away.
    is_too_long: bool,
    has_ended: bool,
}

impl Lines {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body: body.into_data_stream(),
            buffer: BytesMut::new(),
            searched: 0,
            number: 0,
            is_too_long: false,
            has_ended: false,
        }
    }

    /// The next line; a last one may lack its newline, but not its end: what a broken body leaves is no line.
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Line, axum::Error>> {
        loop {
            while let Some(text) = self.cut() {
                if let Some(line) = self.number(text) {
                    return Some(Ok(line));
                }
            }
            if self.has_ended {
                return None;
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.buffer.extend_from_slice(&chunk),
                Some(Err(error)) => {
                    self.has_ended = true;
                    self.buffer.clear();
                    return Some(Err(error));
                }
                None => self.has_ended = true,
            }
        }
    }

    /// How many lines were read, empty ones included.
    pub(super) fn count(&self) -> u64 {
        self.number
    }

    /// Takes the text up to the next newline, or at the end of the body what is left.
    fn cut(&mut self) -> Option<Bytes> {
        let newline = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        if let Some(at) = newline {
            let text = self.buffer.split_to(self.searched + at);
            let _newline = self.buffer.split_to(1);
            self.searched = 0;
            return Some(text.freeze());
        }
        self.searched = self.buffer.len();
        if self.buffer.len() > LINE_BYTES_MAX {
            self.is_too_long = true;
            self.buffer.clear();
            self.searched = 0;
        }
        let is_last = self.has_ended && (self.is_too_long || !self.buffer.is_empty());
        is_last.then(|| {
            self.searched = 0;
            self.buffer.split().freeze()
        })
    }

    fn number(&mut self, text: Bytes) -> Option<Line> {
        self.number += 1;
        let is_too_long = std::mem::take(&mut self.is_too_long) || text.len() > LINE_BYTES_MAX;
        if is_too_long {
            return Some(Line { number: self.number, text: None });
        }
        (!text.trim_ascii().is_empty()).then_some(Line { number: self.number, text: Some(text) })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use futures_util::stream;

    use super::*;

    async fn read(chunks: Vec<Result<Vec<u8>, Error>>) -> (Vec<(u64, Option<String>)>, bool) {
        let mut lines = Lines::new(Body::from_stream(stream::iter(chunks)));
        let mut read = Vec::new();
        while let Some(line) = lines.next().await {
            let Ok(line) = line else { return (read, true) };
            let text = line.text.map(|text| String::from_utf8_lossy(&text).into_owned());
            read.push((line.number, text));
        }
        (read, false)
    }

    fn text(number: u64, text: &str) -> (u64, Option<String>) {
        (number, Some(text.to_owned()))
    }

    #[tokio::test]
    async fn lines_are_found_across_chunks_and_empty_ones_only_counted() {
        let chunks = ["a", "b\n\n \r\nc", "d", "\n", "e"].map(|chunk| Ok(chunk.as_bytes().to_vec()));
        let (lines, is_broken) = read(chunks.into()).await;
        assert_eq!(lines, [text(1, "ab"), text(4, "cd"), text(5, "e")]);
        assert!(!is_broken);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_one_line_however_it_arrives() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let longest = vec![b'y'; LINE_BYTES_MAX];
        let in_pieces = || long.chunks(1_000).chain(long.chunks(30_000)).map(|chunk| Ok(chunk.to_vec()));
        let whole = [&long[..], b"\n", &longest[..], b"\nshort\n"].concat();
        let (lines, _) = read([Ok(whole)].into_iter().chain(in_pieces()).collect()).await;
        assert_eq!(lines.iter().map(|line| line.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(lines.iter().map(|line| line.1.is_some()).collect::<Vec<_>>(), [false, true, true, false]);
        let (lines, _) = read(in_pieces().chain([Ok(b"\nnext".to_vec())]).collect()).await;
        assert_eq!(lines, [(1, None), text(2, "next")]);
    }

    #[tokio::test]
    async fn what_a_broken_body_leaves_is_no_line() {
        let chunks = vec![Ok(b"a\n{\"half\":".to_vec()), Err(Error::from(ErrorKind::UnexpectedEof))];
        assert_eq!(read(chunks).await, (vec![text(1, "a")], true));
    }
}
