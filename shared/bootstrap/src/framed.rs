//! A router inside its frame, as a listener serves it, and the way past the router for what is asked most.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, Uri, header};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use bytes::Bytes;
use futures_util::future::Either;
use tower::{BoxError, Service};

use crate::access::{Access, Route};
use crate::compression::is_worth_compressing;
use crate::layers::Frame;
use crate::request_id::RequestId;

/// What a public port serves.
#[derive(Clone)]
pub struct Framed {
    inner: Arc<Inner>,
    /// Whose connection it serves.
    peer: Option<SocketAddr>,
}

struct Inner {
    router: Router,
    frame: Arc<Frame>,
    shortcut: Option<Box<Shortcut>>,
}

type Shortcut = dyn Fn(Head<'_>) -> Option<AtHand> + Send + Sync;

/// What a request asks for, and when it arrived.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    pub method: &'r Method,
    pub uri: &'r Uri,
    pub headers: &'r HeaderMap,
    pub begun: Instant,
}

/// An answer that needs no router.
#[derive(Debug)]
pub struct AtHand {
    /// The route that would have given it, as metrics name it.
    pub route: &'static str,
    /// Its `Vary` names `Accept-Encoding`: for whoever takes compressed answers, a large one comes from the router.
    pub answer: Response,
    /// Called if it is given.
    pub on_answer: fn(),
}

impl Framed {
    pub(crate) fn new(router: Router, frame: Arc<Frame>) -> Self {
        Self { inner: Arc::new(Inner { router, frame, shortcut: None }), peer: None }
    }

    /// Asks `shortcut` before the router. What is at hand is answered with the same ids, metrics and limits.
    ///
    /// For reads from memory: to route a request and to put a future for each layer on the heap costs more than they do.
    pub fn with_shortcut(&self, shortcut: impl Fn(Head<'_>) -> Option<AtHand> + Send + Sync + 'static) -> Self {
        let (router, frame) = (self.inner.router.clone(), Arc::clone(&self.inner.frame));
        Self { inner: Arc::new(Inner { router, frame, shortcut: Some(Box::new(shortcut)) }), peer: self.peer }
    }

    /// For one connection.
    pub(crate) fn for_peer(&self, peer: SocketAddr) -> Self {
        Self { inner: Arc::clone(&self.inner), peer: Some(peer) }
    }

    fn at_once<B>(&self, request: &Request<B>) -> Option<Response> {
        let Inner { frame, shortcut, .. } = &*self.inner;
        let shortcut = shortcut.as_ref()?;
        let (method, uri, headers, begun) = (request.method(), request.uri(), request.headers(), Instant::now());
        let head = Head { method, uri, headers, begun };
        let at_hand = catch_unwind(AssertUnwindSafe(|| shortcut(head))).unwrap_or_else(|_| {
            // The long way may know more; if not, it answers as for any panic.
            tracing::error!(path = uri.path(), "shortcut_panicked");
            None
        });
        let AtHand { route, mut answer, on_answer } = at_hand?;
        if headers.contains_key(header::ACCEPT_ENCODING) && is_worth_compressing(&answer) {
            return None;
        }
        // Whoever asks too often is told so there, too.
        frame.admit(self.peer).ok()?;
        on_answer();
        let id = RequestId::choose(headers, begun);
        frame.finish(&mut answer, &id);
        id.sync_scope(|| Access::begin(begun, method, Route::Named(route)).end(answer.status()));
        Some(answer)
    }
}

impl<B> Service<Request<B>> for Framed
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if let Some(answer) = self.at_once(&request) {
            return Either::Left(ready(Ok(answer)));
        }
        if let Some(peer) = self.peer.filter(|_| self.inner.frame.is_limited()) {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        Either::Right(self.inner.router.clone().call(request))
    }
}

impl fmt::Debug for Framed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Framed").field("router", &self.inner.router).field("peer", &self.peer).finish_non_exhaustive()
    }
}
