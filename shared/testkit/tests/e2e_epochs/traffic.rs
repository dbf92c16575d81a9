//! Patches and reads that go on while something is done to the stack, and what every answer must meet meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use catalog::{Product, ProductId, Version};
use client::{Client, Response};
use http::StatusCode;
use testkit::api::{create, try_set_price};
use testkit::holds;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinHandle;

use crate::shop::{etag, moment};

/// One acknowledged patch.
struct Acknowledged {
    product: Product,
    at: OffsetDateTime,
}

/// What writers and readers share.
struct Shared {
    products: Vec<ProductId>,
    acknowledged: Mutex<BTreeMap<ProductId, Vec<Acknowledged>>>,
    patches: AtomicUsize,
    reads: AtomicUsize,
    is_over: AtomicBool,
}

/// One writer and a reader of each node, until [`Traffic::end`].
pub(crate) struct Traffic {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Traffic {
    /// Creates `count` products and begins to patch and read them.
    pub(crate) async fn begin(gateway: Client, nodes: Vec<Client>, count: usize) -> Self {
        let mut products = Vec::new();
        for number in 0..count {
            products.push(create(&gateway, &format!("BUSY-{number}")).await.id);
        }
        Self::resume(gateway, nodes, products)
    }

    /// Begins to patch and read products that exist.
    pub(crate) fn resume(gateway: Client, nodes: Vec<Client>, products: Vec<ProductId>) -> Self {
        let shared = Arc::new(Shared {
            products,
            acknowledged: Mutex::default(),
            patches: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let mut tasks = vec![tokio::spawn(Arc::clone(&shared).patch_on_and_on(gateway))];
        tasks.extend(nodes.into_iter().map(|node| tokio::spawn(Arc::clone(&shared).read_on_and_on(node))));
        Self { shared, tasks }
    }

    /// Waits until `count` more patches have been acknowledged, for each of them as long as for any condition.
    pub(crate) async fn acknowledges(&self, count: usize) {
        let begun = self.shared.patches.load(Ordering::Relaxed);
        for enough in begun + 1..=begun + count {
            holds(async || self.shared.patches.load(Ordering::Relaxed) >= enough || self.has_failed()).await;
        }
    }

    /// Waits until `count` more reads have been answered.
    pub(crate) async fn answers(&self, count: usize) {
        let enough = self.shared.reads.load(Ordering::Relaxed) + count;
        holds(async || self.shared.reads.load(Ordering::Relaxed) >= enough || self.has_failed()).await;
    }

    /// Stops and returns the newest acknowledged state of each product.
    pub(crate) async fn end(self) -> BTreeMap<ProductId, Product> {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let (patches, reads) = (&self.shared.patches, &self.shared.reads);
        println!("{} patches acknowledged, {} reads", patches.load(Ordering::Relaxed), reads.load(Ordering::Relaxed));
        let acknowledged = std::mem::take(&mut *self.shared.acknowledged.lock().unwrap());
        acknowledged.into_iter().map(|(id, mut all)| (id, all.pop().unwrap().product)).collect()
    }

    /// [`Traffic::end`] will say why.
    fn has_failed(&self) -> bool {
        self.tasks.iter().any(JoinHandle::is_finished)
    }
}

impl Shared {
    /// A patch that gets no answer may have been applied or not: nothing is expected of it.
    async fn patch_on_and_on(self: Arc<Self>, gateway: Client) {
        for round in 1_usize.. {
            let id = self.products[round % self.products.len()];
            let price = format!("{}.{:02}", round / 100, round % 100);
            if let Some(answer) = try_set_price(&gateway, id, &price).await {
                match answer.status {
                    StatusCode::OK => self.note(answer.json().unwrap()),
                    StatusCode::SERVICE_UNAVAILABLE => assert!(!answer.header("retry-after").is_empty()),
                    StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {}
                    _ => panic!("a patch: {:?}", answer.problem()),
                }
            }
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
        }
    }

    fn note(&self, product: Product) {
        let at = OffsetDateTime::now_utc();
        self.acknowledged.lock().unwrap().entry(product.id).or_default().push(Acknowledged { product, at });
        self.patches.fetch_add(1, Ordering::Relaxed);
    }

    /// A node that is away or has nothing fresh enough may say so; what it answers must hold.
    async fn read_on_and_on(self: Arc<Self>, node: Client) {
        let mut seen: BTreeMap<ProductId, Version> = BTreeMap::new();
        while !self.is_over.load(Ordering::Relaxed) {
            for id in &self.products {
                let Ok(answer) = node.get(&format!("/products/{id}")).await else { continue };
                match answer.status {
                    StatusCode::OK => {
                        let version = self.judge(*id, &answer);
                        let before = seen.insert(*id, version).unwrap_or_default();
                        assert!(version >= before, "product {id} went from {before} back to {version}");
                        self.reads.fetch_add(1, Ordering::Relaxed);
                    }
                    StatusCode::SERVICE_UNAVAILABLE => assert!(!answer.header("retry-after").is_empty()),
                    _ => panic!("product {id}: {:?}", answer.problem()),
                }
            }
        }
    }

    /// Compares an answer with what its headers promise; returns its version.
    fn judge(&self, id: ProductId, answer: &Response) -> Version {
        let product: Product = answer.json().unwrap();
        assert_eq!(answer.header("etag"), etag(&product));
        let acknowledged = self.acknowledged.lock().unwrap();
        let acknowledged = acknowledged.get(&id).map(Vec::as_slice).unwrap_or_default();
        if let Some(same) = acknowledged.iter().find(|known| known.product.version == product.version) {
            assert_eq!(product, same.product, "a version has one content");
        }
        if let Some(as_of) = moment(answer) {
            let promised = acknowledged.iter().rev().find(|known| known.at < as_of);
            let promised = promised.map_or(Version::ABSENT, |known| known.product.version);
            assert!(
                product.version >= promised,
                "product {id} at {} as of {}, but {promised} was acknowledged before; {}",
                product.version,
                as_of.format(&Rfc3339).unwrap(),
                answer.header("cache-status")
            );
        }
        product.version
    }
}
