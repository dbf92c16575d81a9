//! One read node, asked over one connection that is kept, one question at a time: so its answers have an order, and a
//! connection that is the same belongs to the same process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use catalog::{Product, ProductId, Version};
use client::{Client, Response};
use http::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::heard::Heard;
use super::record::{Answer, Claim, Earlier, Seen, Tier};

/// Longest wait for an answer: a node that takes longer is not asked for a while.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long a node that did not answer is left alone.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Products whose last answer is remembered; beyond it all are forgotten, which only misses what a node might break.
const REMEMBERED_MAX: usize = 10_000;

pub(super) struct Node {
    pub(super) tier: Tier,
    client: Client,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    failed: Option<Instant>,
    answered: HashMap<ProductId, Earlier>,
}

impl Node {
    pub(super) fn new(place: usize, client: Client) -> Self {
        Self { tier: Tier::Node(place), client, line: Mutex::default() }
    }

    pub(super) fn url(&self) -> &str {
        self.client.base_url()
    }

    /// What the node says of a product; `None` if it does not answer, or not with 200 or 404.
    pub(super) async fn ask(&self, id: ProductId, heard: &Heard) -> Option<Answer> {
        let mut line = self.line.lock().await;
        if line.failed.is_some_and(|failed| failed.elapsed() < RETRY_DELAY) {
            return None;
        }
        let asked = heard.now();
        let path = format!("/products/{id}");
        let answer = timeout(ANSWER_MAX, self.client.get(&path)).await.ok().and_then(Result::ok);
        let Some((answer, seen)) = answer.and_then(|answer| Some((seen(&answer)?, answer))).map(|(s, a)| (a, s)) else {
            line.failed = Some(Instant::now());
            return None;
        };
        line.failed = None;
        let as_of = OffsetDateTime::parse(answer.header("catalog-as-of"), &Rfc3339).ok();
        let earlier = line.remember(id, answer.connection, &seen, as_of, heard);
        Some(Answer {
            tier: self.tier,
            seen,
            claim: Claim::AsOf(as_of),
            earlier,
            cache_status: answer.header("cache-status").to_owned(),
            asked,
            answered: heard.now(),
        })
    }
}

impl Line {
    /// Takes note of an answer; what was noted of the one before, if it came over the same connection.
    fn remember(
        &mut self,
        id: ProductId,
        connection: Option<SocketAddr>,
        seen: &Seen,
        as_of: Option<OffsetDateTime>,
        heard: &Heard,
    ) -> Option<Earlier> {
        // An answer that names no moment may be of any epoch.
        let (connection, as_of) = (connection?, as_of?);
        let timeline = heard.timeline();
        let is_of_this_epoch = |earlier: &Earlier| timeline.is_moment_of(timeline.epoch(), earlier.as_of);
        let earlier = self.answered.get(&id).copied().filter(|earlier| earlier.connection == connection);
        let known = earlier.filter(is_of_this_epoch);
        let next = match (known, seen) {
            (Some(known), Seen::Absent(_)) => Earlier { is_gone: known.version > Version::ABSENT, ..known },
            (Some(known), seen) => Earlier { version: known.version.max(seen.version()), ..known },
            (None, seen) => Earlier { connection, version: seen.version(), as_of, is_gone: false },
        };
        if self.answered.len() >= REMEMBERED_MAX {
            self.answered.clear();
        }
        self.answered.insert(id, next);
        earlier
    }
}

/// What an answer says, if it says anything of the product.
fn seen(answer: &Response) -> Option<Seen> {
    match answer.status {
        StatusCode::NOT_FOUND => Some(Seen::Absent(Version::ABSENT)),
        StatusCode::OK => {
            let tag = answer.header("etag").trim_start_matches("W/").trim_matches('"');
            let tagged: Option<Version> = tag.parse().ok();
            Some(match answer.json::<Product>() {
                Ok(product) if Some(product.version) == tagged => Seen::Product(Box::new(product)),
                _ => Seen::Malformed(tagged.unwrap_or_default()),
            })
        }
        _ => None,
    }
}
