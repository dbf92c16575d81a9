//! A whole answer in memory.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpInfo;
use serde::de::DeserializeOwned;

use crate::error::ClientError;
use crate::problem::Problem;

/// Largest answer kept in memory: far above any page of products, far below harm.
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Our end of the connection that it came over: two answers with the same one came from the same process, as long as
    /// nothing stands in between.
    pub connection: Option<SocketAddr>,
    url: String,
}

impl Response {
    pub(crate) async fn read(answer: http::Response<Incoming>, url: &http::Uri) -> Result<Self, ClientError> {
        let url = url.to_string();
        let (parts, mut incoming) = answer.into_parts();
        let connection = parts.extensions.get::<HttpInfo>().map(HttpInfo::local_addr);
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|source| ClientError::Broken { url: url.clone(), source: Box::new(source) })?;
            if let Ok(data) = frame.into_data() {
                body.extend_from_slice(&data);
            }
            if body.len() > ANSWER_BYTES_MAX {
                return Err(ClientError::Unexpected { url, reason: format!("more than {ANSWER_BYTES_MAX} bytes") });
            }
        }
        Ok(Self { status: parts.status, headers: parts.headers, body: body.freeze(), connection, url })
    }

    /// A header's text; empty if it is absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|error| ClientError::Unexpected {
            url: self.url.clone(),
            reason: format!("status {}, {error}", self.status),
        })
    }

    /// The problem that an error answer describes; one made from the status if the server sent none.
    pub fn problem(&self) -> Problem {
        let stated = self.json::<Problem>().ok().filter(|problem| !problem.title.is_empty());
        stated.unwrap_or_else(|| Problem {
            kind: "about:blank".to_owned(),
            title: self.status.to_string(),
            status: self.status.as_u16(),
            detail: format!("{} gave no reason", self.url),
            request_id: self.header("x-request-id").to_owned(),
            errors: Vec::new(),
        })
    }
}
