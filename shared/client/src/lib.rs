//! A small HTTP client for everything of ours that talks to a Freshet service.

mod error;
mod lines;
mod problem;
mod response;
mod url;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

pub use error::ClientError;
pub use lines::{Lines, NdjsonAnswer};
pub use problem::{Problem, ProblemField};
pub use response::Response;

/// Longest wait for a connection: loopback and data centres answer in milliseconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a whole answer; above the services' own request timeout, so that their 504 is seen.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Below the 5 s after which the services close idle connections, so that no request meets a closing one.
const POOL_IDLE: Duration = Duration::from_secs(3);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Talks to one base URL over pooled connections; clones share them.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<HttpConnector, Body>,
    base: String,
    /// Sent with every request; marked as not to be printed.
    authorization: Option<HeaderValue>,
}

impl Client {
    /// # Errors
    /// `base_url` is not an `http://` URL with a host.
    pub fn new(base_url: &str) -> Result<Self, ClientError> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(connector);
        Ok(Self { http, base: url::base(base_url)?, authorization: None })
    }

    /// Sends this API key with every request.
    ///
    /// # Errors
    /// It can be no key: it holds what a header cannot. It is not repeated in the error.
    pub fn with_key(mut self, key: &str) -> Result<Self, ClientError> {
        let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| ClientError::Key)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// `path` begins with `/` and may hold a query.
    pub async fn get(&self, path: &str) -> Result<Response, ClientError> {
        self.request(Method::GET, path, HeaderMap::new(), Bytes::new()).await
    }

    /// Answers of any status are `Ok`.
    ///
    /// # Errors
    /// The server cannot be reached, breaks off, or does not answer in time.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: impl Into<Bytes>,
    ) -> Result<Response, ClientError> {
        let url = url::join(&self.base, path)?;
        let body = Full::new(body.into()).boxed_unsync();
        let exchange = async {
            let answer = self.send(method, &url, headers, body).await?;
            Response::read(answer, &url).await
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout { url: url.to_string(), seconds: ANSWER_TIMEOUT.as_secs() }),
        }
    }

    /// [`Client::stream_lines`] by POST.
    pub async fn stream_ndjson(
        &self,
        path: &str,
        lines: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<NdjsonAnswer, ClientError> {
        self.stream_lines(Method::POST, path, HeaderMap::new(), lines).await
    }

    /// Sends a stream of lines and reads the answer's lines while the body is still being written.
    ///
    /// Chunks of `lines` hold whole lines with their newline. Each is taken only when the server has room for it.
    pub async fn stream_lines(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        lines: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<NdjsonAnswer, ClientError> {
        let url = url::join(&self.base, path)?;
        let ndjson = HeaderValue::from_static("application/x-ndjson");
        headers.insert(header::CONTENT_TYPE, ndjson.clone());
        headers.insert(header::ACCEPT, ndjson);
        let body = StreamBody::new(lines.map(|chunk| Ok::<_, Infallible>(Frame::data(chunk)))).boxed_unsync();
        let answer = self.send(method, &url, headers, body).await?;
        Ok(NdjsonAnswer::new(answer, url.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        url: &http::Uri,
        headers: HeaderMap,
        body: Body,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers;
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        self.http.request(request).await.map_err(|source| {
            let url = url.to_string();
            if source.is_connect() {
                ClientError::Unreachable { url, source: Box::new(source) }
            } else {
                ClientError::Broken { url, source: Box::new(source) }
            }
        })
    }
}
