//! A client that writes: patches, and now and then a deletion with a new product in its place.

use std::sync::Arc;
use std::time::Duration;

use catalog::Product;
use client::{Client, ClientError, Response};
use freshness::Token;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::{MissedTickBehavior, interval};

use super::history::{Key, Mark, Moment, Outcome, Write};
use super::random::Random;
use super::shop::{SLOTS, Shop, Written, digest_of, group_word, mark_of, marked_fields};

/// Half of all requests are for this many products: some change many times a second.
pub(super) const HOT: usize = 20;
/// Of a hundred writes, those that replace a product.
const REPLACED_PERCENT: usize = 2;
/// After a write that could not even be sent.
const AWAY_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Writer {
    pub(super) shop: Arc<Shop>,
    pub(super) id: u16,
    /// A write service, or the gateway.
    pub(super) service: Client,
    pub(super) random: Random,
    pub(super) writes: Vec<Write>,
}

/// What is asked of the service.
struct Request {
    method: Method,
    path: String,
    body: String,
    key: Option<Key>,
    mark: Mark,
}

impl Writer {
    /// Writes once in each `period`, or as often as it gets answers, until the shop closes.
    pub(super) async fn run(mut self, period: Duration) -> Vec<Write> {
        let mut turns = interval(period);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.shop.is_over() {
            turns.tick().await;
            let index = any_slot(&mut self.random);
            self.write(index).await;
        }
        self.writes
    }

    /// Puts a product where there is none.
    pub(super) async fn create(&mut self, index: usize) {
        let (sku, word, mark) = (self.shop.slot(index).sku(index), group_word(index), self.shop.mark());
        let body =
            format!(r#"{{"sku":"{sku}","name":"Lamp {word} {index}","brand":"{word}",{}}}"#, marked_fields(mark));
        let request = Request { method: Method::POST, path: "/products".to_owned(), body, key: None, mark };
        let written = self.send(request).await;
        let mut slot = self.shop.slot(index);
        if written.is_none() {
            slot.abandon_sku();
        }
        slot.product = written;
        slot.is_claimed = false;
    }

    async fn write(&mut self, index: usize) {
        let is_replaced = self.random.chance(REPLACED_PERCENT);
        let claimed = {
            let mut slot = self.shop.slot(index);
            if slot.is_claimed {
                return;
            }
            slot.is_claimed = is_replaced || slot.product.is_none();
            if is_replaced { slot.product.take() } else { slot.product.clone() }
        };
        match claimed {
            None => self.create(index).await,
            Some(old) if is_replaced => self.replace(index, old.key).await,
            Some(old) => self.patch(index, old.key).await,
        }
    }

    async fn patch(&mut self, index: usize, key: Key) {
        let mark = self.shop.mark();
        let body = format!("{{{}}}", marked_fields(mark));
        let request = Request { method: Method::PATCH, path: format!("/products/{key}"), body, key: Some(key), mark };
        if let Some(written) = self.send(request).await {
            self.shop.written(index, written);
        }
    }

    /// Deletes the product and gives its sku to a new one.
    async fn replace(&mut self, index: usize, key: Key) {
        let path = format!("/products/{key}");
        let request = Request { method: Method::DELETE, path, body: String::new(), key: Some(key), mark: Mark::ABSENT };
        match self.send(request).await {
            Some(deleted) => self.shop.bury(deleted),
            None => self.shop.slot(index).abandon_sku(),
        }
        self.create(index).await;
    }

    /// Sends and records a write; what it made if that was acknowledged.
    async fn send(&mut self, request: Request) -> Option<Written> {
        let Request { method, path, body, key, mark } = request;
        let media_type = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        let start = self.shop.now();
        let answer = self.service.request(method, &path, headers, body).await;
        let end = self.shop.now();
        let (written, digest) = match &answer {
            Ok(answer) if answer.status.is_success() => acknowledged(answer, mark, start).unzip(),
            _ => (None, None),
        };
        let outcome = match (&answer, &written) {
            (_, Some(written)) => {
                Outcome::Acknowledged { version: written.version, digest: digest.unwrap_or_default() }
            }
            (Ok(answer), None) if answer.status.is_client_error() => Outcome::Refused,
            (Err(ClientError::Unreachable { .. }), None) => Outcome::Refused,
            _ => Outcome::Unknown,
        };
        self.record(key.or(written.as_ref().map(|written| written.key)), mark, (start, end), outcome);
        if answer.is_err() {
            tokio::time::sleep(AWAY_PAUSE).await;
        }
        written
    }

    fn record(&mut self, key: Option<Key>, mark: Mark, (start, end): (Moment, Moment), outcome: Outcome) {
        self.writes.push(Write { client: self.id, key, mark, start, end, outcome });
    }
}

/// What a successful answer says, with the digest of the product in it.
fn acknowledged(answer: &Response, mark: Mark, at: Moment) -> Option<(Written, u32)> {
    let token = answer.headers.get("consistency-token")?.clone();
    let (id, version) = Token::parse(token.to_str().ok()?).ok()?.product?;
    let written = Written {
        key: u32::try_from(id.get()).expect("few products are made"),
        version: u32::try_from(version.get()).expect("few versions are made"),
        token,
        at,
    };
    if answer.status == StatusCode::NO_CONTENT {
        return Some((written, 0));
    }
    let product: Product = answer.json().ok()?;
    let is_as_sent = product.version == version && product.id == id && mark_of(&product) == mark;
    is_as_sent.then(|| (written, digest_of(&product)))
}

/// Any place, the hot ones more often.
pub(super) fn any_slot(random: &mut Random) -> usize {
    let end = if random.chance(50) { HOT } else { SLOTS };
    random.below(end)
}
