//! A client that reads: one product or many, by id, sku, list or search, with and without tokens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::Product;
use client::{Client, ClientError, Response};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{MissedTickBehavior, interval};

use super::history::{Asked, Key, Mark, Moment, Read, Tier};
use super::random::Random;
use super::report::Tally;
use super::shop::{GROUP, Shop, Written, digest_of, group_word, mark_of};
use super::writer::any_slot;

/// Products named in one batch.
const NAMED: usize = 8;
/// Of a hundred requests, those that send tokens.
const TOKEN_PERCENT: usize = 25;
/// Of a hundred requests, those for the product that was written last, with its token.
const FRESH_PERCENT: usize = 10;
/// After a node that cannot be reached.
const AWAY_PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Reader {
    pub(super) shop: Arc<Shop>,
    pub(super) id: u16,
    /// 0 for the gateway.
    pub(super) node: u8,
    pub(super) service: Client,
    pub(super) random: Random,
    pub(super) reads: Vec<Read>,
    pub(super) tally: Tally,
}

/// What is asked of a node.
struct Question {
    asked: Asked,
    path: String,
    /// The products that the answer must show, if it includes their creation and not their deletion.
    expected: Vec<Key>,
    tokens: Vec<Written>,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<Product>,
}

impl Reader {
    /// Reads once in each `period`, or as often as it gets answers, until the shop closes.
    pub(super) async fn run(mut self, period: Duration) -> (Vec<Read>, Tally) {
        let mut turns = interval(period);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.shop.is_over() {
            turns.tick().await;
            if let Some(question) = self.question() {
                self.ask(question).await;
            }
        }
        (self.reads, self.tally)
    }

    fn question(&mut self) -> Option<Question> {
        if self.random.chance(FRESH_PERCENT)
            && let Some(index) = self.shop.take_fresh()
        {
            let written = self.shop.product(index)?;
            return Some(self.about(index, written, true));
        }
        let has_tokens = self.random.chance(TOKEN_PERCENT);
        let index = any_slot(&mut self.random);
        match self.random.below(100) {
            0..3 => {
                let deleted = self.shop.grave(&mut self.random)?;
                Some(Question::by_id(deleted, has_tokens))
            }
            3..4 => {
                // One that is yet to be made: "not found" is an answer that must not outlive its truth.
                let next = self.shop.product(index)?.key + 1;
                let (asked, path) = (Asked::ById, format!("/products/{next}"));
                Some(Question { asked, path, expected: vec![next], tokens: Vec::new() })
            }
            _ => {
                let written = self.shop.product(index)?;
                Some(self.about(index, written, has_tokens))
            }
        }
    }

    /// Any question whose answer shows the product at `index`.
    fn about(&mut self, index: usize, written: Written, has_tokens: bool) -> Question {
        match self.random.below(100) {
            // With the token of another product's write: it is a moment, too.
            0..10 if has_tokens => {
                let other = any_slot(&mut self.random);
                let tokens = self.shop.product(other).into_iter().collect();
                Question { tokens, ..Question::by_id(written, false) }
            }
            0..80 => Question::by_id(written, has_tokens),
            80..88 => self.several(Asked::Ids, index, has_tokens),
            88..91 => self.several(Asked::Skus, index, has_tokens),
            91..96 => self.group(Asked::List, index, has_tokens),
            _ => self.group(Asked::Search, index, has_tokens),
        }
    }

    fn several(&mut self, asked: Asked, index: usize, has_tokens: bool) -> Question {
        let mut indices = vec![index];
        indices.extend((1..NAMED).map(|_| any_slot(&mut self.random)));
        let mut names = Vec::new();
        let mut products = Vec::new();
        for index in indices {
            let slot = self.shop.slot(index);
            let Some(product) = slot.product.clone() else { continue };
            names.push(if asked == Asked::Ids { product.key.to_string() } else { slot.sku(index) });
            products.push(product);
        }
        let word = if asked == Asked::Ids { "ids" } else { "skus" };
        // Of nothing, the answer would be a page of everything.
        let names = if names.is_empty() { "1".to_owned() } else { names.join(",") };
        Question::about(asked, format!("/products?{word}={names}"), products, has_tokens)
    }

    fn group(&mut self, asked: Asked, index: usize, has_tokens: bool) -> Question {
        let first = index - index % GROUP;
        let products = (first..first + GROUP).filter_map(|index| self.shop.product(index)).collect();
        let word = group_word(index);
        let path = match asked {
            Asked::Search => format!("/products/search?q={word}&limit=100"),
            _ => format!("/products?brand={word}&limit=100"),
        };
        Question::about(asked, path, products, has_tokens)
    }

    async fn ask(&mut self, question: Question) {
        let texts: Vec<&str> = question.tokens.iter().filter_map(|written| written.token.to_str().ok()).collect();
        let mut headers = HeaderMap::new();
        if !texts.is_empty() {
            let value = texts.join(", ").try_into().expect("tokens are base64url");
            headers.insert(HeaderName::from_static("consistency-token"), value);
        }
        let (life, start) = (self.shop.life(self.node), self.shop.now());
        let answer = self.service.request(Method::GET, &question.path, headers, "").await;
        let end = self.shop.now();
        let life = if self.node > 0 && self.shop.life(self.node) == life { life } else { 0 };
        match answer {
            Ok(answer) => self.take(&question, &answer, (start, end), life),
            Err(error) => {
                self.tally.failed(word(&error));
                tokio::time::sleep(AWAY_PAUSE).await;
            }
        }
    }

    fn take(&mut self, question: &Question, answer: &Response, (start, end): (Moment, Moment), life: u8) {
        let items = match answer.status {
            StatusCode::OK if question.asked == Asked::ById => answer.json().map(|product| vec![product]),
            StatusCode::OK => answer.json().map(|page: Items| page.items),
            StatusCode::NOT_FOUND if question.asked == Asked::ById => Ok(Vec::new()),
            _ => return self.tally.refused(question.asked, answer, self.node == 0),
        };
        let Ok(items) = items else { return self.tally.refused(question.asked, answer, false) };
        let as_of = OffsetDateTime::parse(answer.header("catalog-as-of"), &Rfc3339);
        let tier = tier(answer.header("cache-status"));
        let as_of = as_of.map_or(Moment::default(), |as_of| self.shop.moment(as_of));
        self.tally.answered(question.asked, tier, !question.tokens.is_empty(), (as_of, end));
        let mut required: BTreeMap<Key, u32> = BTreeMap::new();
        for token in &question.tokens {
            required.insert(token.key, token.version);
        }
        let absent = Read {
            start,
            end,
            key: 0,
            version: 0,
            mark: Mark::ABSENT,
            digest: 0,
            required: 0,
            token_at: question.tokens.iter().map(|written| written.at).max().unwrap_or_default(),
            as_of,
            client: self.id,
            node: self.node,
            life,
            asked: question.asked,
            tier,
        };
        let mut missing = question.expected.clone();
        for product in items {
            let key = u32::try_from(product.id.get()).expect("few products are made");
            missing.retain(|expected| *expected != key);
            self.reads.push(Read {
                key,
                version: u32::try_from(product.version.get()).expect("few versions are made"),
                mark: mark_of(&product),
                digest: digest_of(&product),
                required: required.get(&key).copied().unwrap_or_default(),
                ..absent
            });
        }
        missing.dedup();
        for key in missing {
            self.reads.push(Read { key, required: required.get(&key).copied().unwrap_or_default(), ..absent });
        }
    }
}

impl Question {
    fn by_id(written: Written, has_token: bool) -> Self {
        let path = format!("/products/{}", written.key);
        Self::about(Asked::ById, path, vec![written], has_token)
    }

    /// With the tokens of at most three of the products.
    fn about(asked: Asked, path: String, products: Vec<Written>, has_tokens: bool) -> Self {
        let mut expected: Vec<Key> = products.iter().map(|written| written.key).collect();
        expected.sort_unstable();
        let tokens = if has_tokens { products.into_iter().take(3).collect() } else { Vec::new() };
        Self { asked, path, expected, tokens }
    }
}

/// The tier below which nothing was asked.
fn tier(cache_status: &str) -> Tier {
    let words = [
        ("near; hit", Tier::Near),
        ("redis; hit", Tier::Redis),
        ("detail=replica", Tier::Replica),
        ("detail=primary", Tier::Primary),
    ];
    words.iter().find(|(word, _)| cache_status.contains(word)).map_or(Tier::Unknown, |(_, tier)| *tier)
}

const fn word(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unreachable { .. } => "unreachable",
        ClientError::Timeout { .. } => "no answer in time",
        _ => "broken off",
    }
}
