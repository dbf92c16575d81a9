//! Runs a service from bound ports to a clean end: first signal drains, the deadline or a second signal ends it.

use std::convert::Infallible;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use crate::framed::Framed;
use crate::health::{Health, ops_router};
use crate::preface::Speaking;
use crate::settings::ServeSettings;
use crate::telemetry::install_metrics;

/// How often the exporter folds recorded samples; without it they pile up until a scrape.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// How soon an HTTP/2 peer that vanished is looked for; it must answer within hyper's 20 s.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(20);

/// What a service listens on.
pub struct Endpoints {
    /// The API, already inside [`public_layers`](crate::public_layers); none for a service without one.
    pub public: Option<(SocketAddr, Framed)>,
    pub ops_listen: SocketAddr,
}

/// Work beside the listeners. A task that fails or panics ends the process with an error.
#[derive(Default)]
pub struct Background {
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Background {
    /// Cancelled once the last request is answered; tasks then finish what they hold and return.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.tasks.spawn(async move { task.await.with_context(|| format!("background task `{name}` failed")) });
    }

    /// Ends with the first task that fails, or never while all is well.
    async fn first_failure(&mut self) -> anyhow::Error {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = flatten(ended) {
                return error;
            }
        }
        std::future::pending().await
    }

    async fn finish(&mut self, grace: Duration) -> anyhow::Result<()> {
        self.stop.cancel();
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                flatten(ended)?;
            }
            Ok(())
        };
        timeout(grace, all).await.unwrap_or_else(|_| Err(anyhow!("background work did not stop within {grace:?}")))
    }
}

/// Runs until SIGTERM or SIGINT: `/readyz` turns 503, after the drain delay the listener closes, running requests end,
/// background tasks stop, and last the operations port closes.
///
/// # Errors
/// A port cannot be bound, a background task fails, or a second signal or the deadline cuts the end short.
pub async fn serve(
    settings: &ServeSettings,
    endpoints: Endpoints,
    health: Health,
    background: Background,
) -> anyhow::Result<()> {
    let signals = forward_signals()?;
    Bound::bind(endpoints).await?.run(settings, health, background, signals).await
}

/// Ports bound but not served yet, so that tests can ask which ones they got.
pub struct Bound {
    public: Option<(TcpListener, Framed)>,
    ops: TcpListener,
}

impl Bound {
    pub async fn bind(endpoints: Endpoints) -> anyhow::Result<Self> {
        let public = match endpoints.public {
            Some((address, router)) => Some((listen(address, "public").await?, router)),
            None => None,
        };
        Ok(Self { public, ops: listen(endpoints.ops_listen, "operations").await? })
    }

    pub fn public_address(&self) -> Option<SocketAddr> {
        self.public.as_ref().and_then(|(listener, _)| listener.local_addr().ok())
    }

    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.local_addr().ok()
    }

    /// As [`serve`], with what arrives on `signals` (or its closing) in place of the process's signals.
    pub async fn run(
        self,
        settings: &ServeSettings,
        health: Health,
        mut background: Background,
        mut signals: mpsc::Receiver<()>,
    ) -> anyhow::Result<()> {
        let metrics = install_metrics()?;
        tracing::info!(public = ?self.public_address(), ops = ?self.ops_address(), "listening");
        let ops = ops_router(health.clone(), metrics.clone()).into_make_service();
        let ops = Running::start(self.ops, settings, |server| tokio::spawn(server.serve(ops)));
        let public = self.public.map(|(listener, framed)| {
            let connection = service_fn(move |peer| ready(Ok::<_, Infallible>(framed.for_peer(peer))));
            Running::start(listener, settings, |server| tokio::spawn(server.serve(connection)))
        });
        let upkeep = async {
            let mut tick = tokio::time::interval(METRICS_UPKEEP);
            loop {
                tick.tick().await;
                metrics.run_upkeep();
            }
        };

        tokio::select! {
            _ = signals.recv() => {}
            error = background.first_failure() => return Err(error),
            () = upkeep => {}
        }
        tokio::select! {
            ended = drain(settings, &health, public, &mut background) => ended?,
            Some(()) = signals.recv() => return Err(anyhow!("ended at once by a second signal")),
        }
        ops.handle.shutdown();
        tracing::info!("stopped");
        Ok(())
    }
}

async fn drain(
    settings: &ServeSettings,
    health: &Health,
    public: Option<Running>,
    background: &mut Background,
) -> anyhow::Result<()> {
    health.drain();
    tracing::info!(drain_delay_ms = settings.drain_delay_ms, drain_grace_ms = settings.drain_grace_ms, "draining");
    if let Some(public) = public {
        tokio::select! {
            () = tokio::time::sleep(settings.drain_delay()) => {}
            error = background.first_failure() => return Err(error),
        }
        public.handle.graceful_shutdown(Some(settings.drain_grace()));
        tokio::select! {
            ended = public.server => ended.context("the public listener failed")??,
            error = background.first_failure() => return Err(error),
        }
    }
    background.finish(settings.drain_grace()).await
}

/// A listener being served.
struct Running {
    handle: Handle<SocketAddr>,
    server: Serving,
}

type Listening = Server<SocketAddr, Speaking>;
type Serving = JoinHandle<std::io::Result<()>>;

impl Running {
    fn start(listener: TcpListener, settings: &ServeSettings, serve: impl FnOnce(Listening) -> Serving) -> Self {
        let handle = Handle::new();
        let speaking = Speaking { timeout: settings.header_timeout() };
        let mut server = Server::from_listener(listener).acceptor(speaking).handle(handle.clone());
        // Without a timer hyper has no header timeout, and a half-sent request holds its connection for ever.
        server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(settings.header_timeout());
        server.http_builder().http2().timer(TokioTimer::new()).keep_alive_interval(Some(HTTP2_PING_INTERVAL));
        Self { handle, server: serve(server) }
    }
}

async fn listen(address: SocketAddr, what: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({what} port)"))
}

fn forward_signals() -> anyhow::Result<mpsc::Receiver<()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn flatten(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended.context("a background task panicked")?
}
