//! The streamed answer to a streamed request, line by line in bounded memory.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::error::ClientError;
use crate::response::Response;

/// Longest line accepted from a server: a result line is far shorter, even with a problem in it.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The head of an answer whose lines still arrive.
pub struct NdjsonAnswer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    answer: http::Response<Incoming>,
    url: String,
}

impl NdjsonAnswer {
    pub(crate) fn new(answer: http::Response<Incoming>, url: String) -> Self {
        Self { status: answer.status(), headers: answer.headers().clone(), answer, url }
    }

    pub fn lines(self) -> Lines {
        let start = Reading { body: self.answer.into_body(), buffer: BytesMut::new(), url: self.url, has_ended: false };
        Lines(
            stream::unfold(start, |mut reading| async { reading.next_line().await.map(|line| (line, reading)) })
                .boxed(),
        )
    }

    /// The whole answer, for one that is not a stream of lines, such as a problem.
    pub async fn into_response(self) -> Result<Response, ClientError> {
        let url = self.url.parse().expect("it was made from a URI");
        Response::read(self.answer, &url).await
    }
}

/// Lines without their newlines; an error is the last item.
pub struct Lines(stream::BoxStream<'static, Result<Bytes, ClientError>>);

impl Stream for Lines {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

struct Reading {
    body: Incoming,
    buffer: BytesMut,
    url: String,
    has_ended: bool,
}

impl Reading {
    async fn next_line(&mut self) -> Option<Result<Bytes, ClientError>> {
        let mut searched = 0;
        while !self.has_ended {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(searched + at + 1);
                line.truncate(searched + at);
                return Some(Ok(line.freeze()));
            }
            searched = self.buffer.len();
            if searched > LINE_BYTES_MAX {
                self.end();
                let reason = format!("a line of more than {LINE_BYTES_MAX} bytes");
                return Some(Err(ClientError::Unexpected { url: self.url.clone(), reason }));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Some(Err(source)) => {
                    self.end();
                    return Some(Err(ClientError::Broken { url: self.url.clone(), source: Box::new(source) }));
                }
                None => self.has_ended = true,
            }
        }
        // A last line may lack its newline.
        let rest = self.buffer.split();
        (!rest.is_empty()).then(|| Ok(rest.freeze()))
    }

    fn end(&mut self) {
        self.has_ended = true;
        self.buffer.clear();
    }
}
