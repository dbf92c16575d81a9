//! A read node with databases, a Redis and a NATS server of its own, and a stand-in for everything that writes.

use std::net::SocketAddr;

use bootstrap::{Bound, Endpoints};
use catalog::{Product, ProductId};
use clap::Parser;
use client::{Client, Response};
use events::{Epoch, Position};
use freshet_read::app::Node;
use freshet_read::config::ReadSettings;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sqlx::{Connection, PgConnection};
use testkit::{Databases, NatsServer, Publisher, RedisServer, databases, holds, nats, redis};
use tokio::sync::mpsc;

pub(crate) const EPOCH: Epoch = Epoch(1_700_000_000_000);
/// Nothing listens on the discard port.
pub(crate) const NOWHERE: &str = "postgres://freshet@127.0.0.1:9/freshet";

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: ReadSettings,
}

/// The servers below a node, and what a write service and its relay would do to them.
pub(crate) struct World {
    pub(crate) databases: Databases,
    pub(crate) primary: PgConnection,
    pub(crate) redis: RedisServer,
    pub(crate) nats: NatsServer,
    pub(crate) relay: Publisher,
}

/// A node that runs until it is dropped.
pub(crate) struct RunningNode {
    api: Client,
    ops: Client,
    _stop: mpsc::Sender<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let databases = databases().await;
        let mut primary = databases.primary().await;
        set_epoch(&mut primary, EPOCH).await;
        let (redis, nats) = tokio::task::block_in_place(|| (redis(), nats()));
        let relay = Publisher::new(nats.url(), EPOCH).await;
        let mut world = Self { databases, primary, redis, nats, relay };
        world.heartbeat().await;
        world
    }

    /// A node on these servers, ready.
    pub(crate) async fn node(&self) -> RunningNode {
        self.node_with(&self.databases.replica_url, &[]).await
    }

    /// A node with another replica and more arguments, ready.
    pub(crate) async fn node_with(&self, replica_url: &str, more: &[&str]) -> RunningNode {
        let node = self.start_node(replica_url, more).await;
        holds(async || node.is_ready().await).await;
        node
    }

    pub(crate) async fn start_node(&self, replica_url: &str, more: &[&str]) -> RunningNode {
        let own = [
            "freshet-read",
            "--database-url",
            &self.databases.primary_url,
            "--replica-urls",
            replica_url,
            "--redis-url",
            self.redis.url(),
            "--nats-url",
            self.nats.url(),
        ];
        // Most tests are about what lies below.
        let far = ["--near-bytes-max", "--page-bytes-max"].map(|name| [name, "0"]);
        let far = far.iter().filter(|[name, _]| !more.contains(name)).flatten().copied().collect::<Vec<_>>();
        let settings = Cli::parse_from([&own, &far[..], more].concat()).settings;
        let node = Node::start(&settings).await.unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let bound = Bound::bind(Endpoints { public: Some((any, node.framed)), ops_listen: any }).await.unwrap();
        let client = |address: Option<SocketAddr>| testkit::client(&format!("http://{}", address.unwrap()));
        let (api, ops) = (client(bound.public_address()), client(bound.ops_address()));
        let (stop, stopped) = mpsc::channel(1);
        tokio::spawn(async move { bound.run(&settings.serve, node.health, node.background, stopped).await });
        RunningNode { api, ops, _stop: stop }
    }

    /// Commits a new product, waits until the replica has it, and says so in the stream.
    pub(crate) async fn create(&mut self, sku: &str) -> Product {
        let product = insert(&mut self.primary, sku).await;
        let position = position(&mut self.primary).await;
        self.databases.replicated().await;
        self.relay.changed(None, &product, position).await;
        self.heartbeat().await;
        product
    }

    /// Commits a new stock, waits until the replica has it, and says so in the stream.
    pub(crate) async fn set_stock(&mut self, before: &Product, stock: i32) -> Product {
        let after = set_stock(&mut self.primary, before.id, stock).await;
        let position = position(&mut self.primary).await;
        self.databases.replicated().await;
        self.relay.changed(Some(before), &after, position).await;
        self.heartbeat().await;
        after
    }

    /// Commits a tombstone, waits until the replica has it, and says so in the stream.
    pub(crate) async fn delete(&mut self, before: &Product) {
        let sql = "update products set version = version + 1, deleted_at = now() where id = $1";
        sqlx::query(sql).bind(before.id.get()).execute(&mut self.primary).await.unwrap();
        let position = position(&mut self.primary).await;
        self.databases.replicated().await;
        self.relay.deleted(before, position).await;
        self.heartbeat().await;
    }

    /// Publishes a heartbeat and, as the relay does then, moves the mark: so a later read is past the heartbeat.
    pub(crate) async fn heartbeat(&mut self) {
        self.relay.heartbeat(position(&mut self.primary).await).await;
        let sql = "update mark set sequence = sequence + 1";
        sqlx::query(sql).execute(&mut self.primary).await.unwrap();
    }

    /// Another migrated database of the primary, to be named as replica: it replays nothing, so it lags as far as wanted.
    pub(crate) async fn frozen_replica(&self) -> (Databases, PgConnection) {
        let frozen = databases().await;
        let mut connection = PgConnection::connect(&frozen.primary_url).await.unwrap();
        set_epoch(&mut connection, EPOCH).await;
        (frozen, connection)
    }

    /// A node that keeps products near, ready.
    pub(crate) async fn near_node(&self, more: &[&str]) -> RunningNode {
        self.node_with(&self.databases.replica_url, &[&["--near-bytes-max", "1000000"], more].concat()).await
    }

    /// A node that keeps pages of lists, ready.
    pub(crate) async fn page_node(&self, more: &[&str]) -> RunningNode {
        self.node_with(&self.databases.replica_url, &[&["--page-bytes-max", "1000000"], more].concat()).await
    }

    /// A node that has seen the second version of a product, of which its only replica has the first for ever.
    pub(crate) async fn node_ahead_of_its_replica(&mut self) -> (RunningNode, Product) {
        let (frozen, mut replica) = self.frozen_replica().await;
        let old = insert(&mut replica, "LAMP-1").await;
        let node = self.node_with(&frozen.primary_url, &[]).await;
        let first = self.create("LAMP-1").await;
        assert_eq!(first.id, old.id);
        let new = self.set_stock(&first, 3).await;
        // Until the event arrives the replica's row is as good as any; whatever is answered, it never gets older again.
        node.has_seen(&new).await;
        (node, new)
    }
}

pub(crate) async fn set_epoch(database: &mut PgConnection, epoch: Epoch) {
    let number = i64::try_from(epoch.0).unwrap();
    let sql = "update epoch
               set number = $1,
                   server_started_at = greatest(
                       pg_postmaster_start_time(),
                       (select backend_start from pg_stat_activity where backend_type = 'checkpointer')
                   )";
    sqlx::query(sql).bind(number).execute(database).await.unwrap();
}

pub(crate) async fn position(database: &mut PgConnection) -> Position {
    let text: String =
        sqlx::query_scalar("select pg_current_wal_insert_lsn()::text").fetch_one(database).await.unwrap();
    text.parse().unwrap()
}

/// Lets nobody else read products until the transaction ends.
pub(crate) async fn lock_products(transaction: &mut PgConnection) {
    sqlx::query("lock table products in access exclusive mode").execute(transaction).await.unwrap();
}

/// Waits until at least so many sessions wait for [`lock_products`].
pub(crate) async fn until_waiting(database: &mut PgConnection, sessions: i64) {
    let waiting = "select count(*) from pg_locks where not granted and relation = 'products'::regclass";
    holds(async || sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut *database).await.unwrap() >= sessions).await;
}

/// A product with 4 in stock.
pub(crate) async fn insert(database: &mut PgConnection, sku: &str) -> Product {
    let row: catalog::ProductRow = sqlx::query_as(
        "insert into products (sku, name, price, currency, stock, version, created_at, updated_at)
        values ($1, 'Lamp', 1999, 'USD', 4, 1, now(), now())
        returning *",
    )
    .bind(sku)
    .fetch_one(database)
    .await
    .unwrap();
    row.try_into().unwrap()
}

pub(crate) async fn set_stock(database: &mut PgConnection, id: ProductId, stock: i32) -> Product {
    let row: catalog::ProductRow =
        sqlx::query_as("update products set stock = $2, version = version + 1 where id = $1 returning *")
            .bind(id.get())
            .bind(stock)
            .fetch_one(database)
            .await
            .unwrap();
    row.try_into().unwrap()
}

impl RunningNode {
    pub(crate) async fn is_ready(&self) -> bool {
        self.ops.get("/readyz").await.is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.api.get(path).await.unwrap()
    }

    pub(crate) async fn request(&self, method: Method, path: &str, header: (HeaderName, &str)) -> Response {
        let headers = HeaderMap::from_iter([(header.0, HeaderValue::from_str(header.1).unwrap())]);
        self.request_with(method, path, headers).await
    }

    pub(crate) async fn request_with(&self, method: Method, path: &str, headers: HeaderMap) -> Response {
        self.api.request(method, path, headers, "").await.unwrap()
    }

    /// The product, which must be served.
    pub(crate) async fn product(&self, id: ProductId) -> Product {
        self.get(&format!("/products/{id}")).await.json().unwrap()
    }

    /// Which tier a product's answer comes from.
    pub(crate) async fn cache_status(&self, id: ProductId) -> String {
        self.get(&format!("/products/{id}")).await.header("cache-status").to_owned()
    }

    /// Waits until the node has processed a change of this product up to its version.
    pub(crate) async fn has_seen(&self, product: &Product) {
        let path = format!("/products/{}", product.id);
        holds(async || self.get(&path).await.header("etag") == format!("\"{}\"", product.version)).await;
    }

    /// Everything that `/metrics` says.
    pub(crate) async fn metrics(&self) -> String {
        String::from_utf8(self.ops.get("/metrics").await.unwrap().body.to_vec()).unwrap()
    }

    /// The value of a metric, by the beginning of its line.
    pub(crate) async fn metric(&self, line: &str) -> f64 {
        testkit::api::metric(&self.ops, line).await
    }
}
