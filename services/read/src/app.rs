//! One read node: what its handlers share, and the tasks that keep it fresh.

use std::sync::Arc;

use axum::http::HeaderValue;
use bootstrap::{Background, Framed, Health};
use catalog::Currency;

use crate::config::ReadSettings;
use crate::http::HotAnswers;
use crate::log::{Follower, SharedLog};
use crate::near::Near;
use crate::pages::Pages;
use crate::products::Products;
use crate::redis::Redis;
use crate::sample::sample;
use crate::sources::Sources;
use crate::{http, log, measures, sources};

/// What the handlers share.
#[derive(Debug)]
pub struct App {
    pub(crate) log: Arc<SharedLog>,
    pub(crate) products: Products,
    pub(crate) pages: Arc<Pages>,
    pub(crate) default_currency: Currency,
    pub(crate) cache_control: HeaderValue,
}

/// A node ready to be served: its routes, its checks and its tasks.
pub struct Node {
    pub framed: Framed,
    pub health: Health,
    pub background: Background,
}

impl Node {
    /// Starts the tasks. Nothing needs to be reachable yet.
    ///
    /// # Errors
    /// A URL cannot be read.
    pub async fn start(settings: &ReadSettings) -> anyhow::Result<Self> {
        bootstrap::install_metrics()?;
        measures::describe();
        let health = Health::new(&[log::CHECK, sources::CHECK]);
        let mut background = Background::default();
        let near = Near::new(settings.near_bytes_max);
        let (horizon, lag_max) = (settings.horizon(), settings.replica_lag_max());
        let log =
            Arc::new(SharedLog::new(horizon, lag_max, near, settings.near_silence_max(), settings.tail_bytes_max));
        let sources =
            Arc::new(Sources::new(&settings.replica_urls, settings.database_url.as_ref(), settings.reads_per_second()));
        let redis = Arc::new(Redis::new(settings.cache.open()?));

        sources::watch(&sources, &log, &health, &mut background);
        let follower = Follower::new(
            settings.nats.connect("freshet-read").await?,
            Arc::clone(&log),
            health.clone(),
            settings.horizon(),
        );
        background.spawn("follow the log", follower.run(settings.nats_wait(), background.stop()));

        let app = Arc::new(App {
            products: Products::new(Arc::clone(&redis), Arc::clone(&log), Arc::clone(&sources)),
            pages: Arc::new(Pages::new(Arc::clone(&log), sources, redis, settings.page_bytes_max)),
            log,
            default_currency: settings.default_currency,
            cache_control: settings.cache_control.clone(),
        });
        background.spawn("sample the node", sample(Arc::clone(&app), background.stop()));
        let hot = HotAnswers::new(&app);
        let framed = bootstrap::public_layers(http::router(app), &settings.serve, &health)
            .with_shortcut(move |head| hot.get(head));
        Ok(Self { framed, health, background })
    }
}
