//! The read service's metrics: names, meanings and where they are recorded.

use std::sync::LazyLock;
use std::time::Duration;

use freshness::Rejection;
use metrics::{Counter, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use crate::demand::Demand;
use crate::error::ReadError;
use crate::products::Trace;
use crate::sources::Source;

const CACHE_REQUESTS: &str = "freshet_cache_requests_total";
const FILLS_REJECTED: &str = "freshet_fills_rejected_total";
const SOURCE_QUERIES: &str = "freshet_source_queries_total";
const REPLICA_USABLE: &str = "freshet_replica_usable";
const TOKEN_READS: &str = "freshet_token_reads_total";
const TOKEN_WAIT: &str = "freshet_token_wait_duration_seconds";
const NO_CACHE_READS: &str = "freshet_no_cache_reads_total";
const LOG_MESSAGES: &str = "freshet_log_messages_total";
const LOG_RESTARTS: &str = "freshet_log_restarts_total";
const LOG_UNDECODABLE: &str = "freshet_log_undecodable_total";
const LOG_CHANGES: &str = "freshet_log_changes";
const LOG_REPLAY: &str = "freshet_log_replay_seconds";
const HEARTBEAT_AGE: &str = "freshet_log_heartbeat_age_seconds";
const VISIBLE_LAG: &str = "freshet_visible_lag_seconds";
const AS_OF_AGE: &str = "freshet_as_of_age_seconds";
const PAGE_REQUESTS: &str = "freshet_page_requests_total";
const PAGE_BYTES: &str = "freshet_page_bytes";
const PAGE_ENTRIES: &str = "freshet_page_entries";
const TAIL_BYTES: &str = "freshet_tail_bytes";
const NEAR_BYTES: &str = "freshet_near_bytes";
const NEAR_ENTRIES: &str = "freshet_near_entries";

/// What asking a cache may come to, and where.
const CACHE_RESULTS: [(&str, &[&str]); 2] =
    [("near", &["hit", "miss", "bypass"]), ("redis", &["hit", "miss", "rejected", "error", "bypass"])];
const REJECTIONS: [Rejection; 4] =
    [Rejection::OtherEpoch, Rejection::BelowFloor, Rejection::BeforeStart, Rejection::Overtaken];
/// A page was there and stands; was there and may have changed; was not there; or was not asked for there.
const PAGE_RESULTS: [(&str, &[&str]); 2] =
    [("near", &["hit", "moved", "miss", "bypass"]), ("redis", &["hit", "moved", "miss", "error"])];
const SOURCES: [Source; 2] = [Source::Replica, Source::Primary];
/// How a read with a demand may end: answered by a tier, 503 or 504, or 400.
const ENDS: [&str; 6] = ["near", "redis", "replica", "primary", "unavailable", "refused"];

/// Looked up once: it is counted in every hot read.
static NEAR_HITS: LazyLock<Counter> = LazyLock::new(|| counter!(CACHE_REQUESTS, "tier" => "near", "result" => "hit"));

static PAGE_HITS: LazyLock<Counter> = LazyLock::new(|| counter!(PAGE_REQUESTS, "tier" => "near", "result" => "hit"));

/// What every second shows of a node, also while nothing happens.
pub(crate) struct Sample {
    pub(crate) as_of_age: Option<Duration>,
    pub(crate) heartbeat_age: Duration,
    pub(crate) log_changes: usize,
    pub(crate) near_bytes: u64,
    pub(crate) near_entries: usize,
    pub(crate) tail_bytes: usize,
}

/// Says what each metric means, and shows every counter from 0. The process's recorder must be there.
pub(crate) fn describe() {
    describe_counter!(
        CACHE_REQUESTS,
        "Products asked of a cache, by tier and result; rejected: it held one that may not be served; bypass: not asked"
    );
    describe_counter!(
        PAGE_REQUESTS,
        "Pages of lists and searches, by result; hit: kept, and nothing has changed it; moved: kept, but a change may have \
         moved it; bypass: nothing kept may be served"
    );
    describe_gauge!(PAGE_BYTES, Unit::Bytes, "Memory of the pages kept");
    describe_gauge!(PAGE_ENTRIES, "Pages kept");
    describe_gauge!(TAIL_BYTES, Unit::Bytes, "Memory of the changes that pages are checked by");
    describe_counter!(FILLS_REJECTED, "Entries and rows that may not be served, by where they were found and why");
    describe_counter!(SOURCE_QUERIES, "Queries of the databases, by kind of database");
    describe_gauge!(REPLICA_USABLE, "1 while the replica is reached and keeps up, by its place in the setting");
    describe_counter!(
        TOKEN_READS,
        "Reads with a Consistency-Token, by the tier that answered, or unavailable, refused"
    );
    describe_histogram!(TOKEN_WAIT, Unit::Seconds, "Waits of such reads for the log to bring their write");
    describe_counter!(NO_CACHE_READS, "Reads with Cache-Control: no-cache, by result");
    describe_counter!(LOG_MESSAGES, "Messages of the stream that were processed, heartbeats included");
    describe_counter!(LOG_RESTARTS, "Subscriptions to the stream that were given up for a new one, by reason");
    describe_counter!(LOG_UNDECODABLE, "Messages that could not be decoded");
    describe_gauge!(LOG_CHANGES, "Changes that are remembered");
    describe_gauge!(LOG_REPLAY, Unit::Seconds, "From the last subscription to having caught up");
    describe_gauge!(HEARTBEAT_AGE, Unit::Seconds, "Since the last heartbeat arrived");
    describe_histogram!(
        VISIBLE_LAG,
        Unit::Seconds,
        "From the change's time to its effect on this node, by two machines' clocks; not of what is replayed at start"
    );
    describe_gauge!(AS_OF_AGE, Unit::Seconds, "How old Catalog-As-Of is; infinite while there is none");
    describe_gauge!(NEAR_BYTES, Unit::Bytes, "Memory of the products kept near");
    describe_gauge!(NEAR_ENTRIES, "Products kept near, missing ones included");
    for (tier, results) in CACHE_RESULTS {
        for result in results {
            counter!(CACHE_REQUESTS, "tier" => tier, "result" => *result).absolute(0);
        }
    }
    for (tier, results) in PAGE_RESULTS {
        for result in results {
            counter!(PAGE_REQUESTS, "tier" => tier, "result" => *result).absolute(0);
        }
    }
    for rejection in REJECTIONS {
        for tier in ["redis", Source::Replica.word(), Source::Primary.word()] {
            counter!(FILLS_REJECTED, "tier" => tier, "reason" => rejection.word()).absolute(0);
        }
    }
    for source in SOURCES {
        counter!(SOURCE_QUERIES, "source" => source.word()).absolute(0);
    }
    for end in ENDS {
        counter!(TOKEN_READS, "result" => end).absolute(0);
        if !["near", "redis", "replica"].contains(&end) {
            counter!(NO_CACHE_READS, "result" => end).absolute(0);
        }
    }
    for reason in crate::log::RESTARTS {
        counter!(LOG_RESTARTS, "reason" => reason).absolute(0);
    }
    counter!(LOG_MESSAGES).absolute(0);
    counter!(LOG_UNDECODABLE).absolute(0);
}

/// So many products were asked of a cache, with this result.
pub(crate) fn cache_requests(tier: &'static str, result: &'static str, products: usize) {
    if products > 0 {
        counter!(CACHE_REQUESTS, "tier" => tier, "result" => result).increment(products as u64);
    }
}

/// One product was answered from near.
pub(crate) fn near_hit() {
    NEAR_HITS.increment(1);
}

/// One page was answered from what is kept.
pub(crate) fn page_hit() {
    PAGE_HITS.increment(1);
}

/// A page was asked for in `tier`.
pub(crate) fn page_request(tier: &'static str, result: &'static str) {
    counter!(PAGE_REQUESTS, "tier" => tier, "result" => result).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "no node has 2^53 of anything")]
pub(crate) fn pages_sampled(bytes: u64, entries: usize) {
    gauge!(PAGE_BYTES).set(bytes as f64);
    gauge!(PAGE_ENTRIES).set(entries as f64);
}

/// What was found in `tier` may not be served.
pub(crate) fn rejected(tier: &'static str, rejection: Rejection) {
    counter!(FILLS_REJECTED, "tier" => tier, "reason" => rejection.word()).increment(1);
}

pub(crate) fn source_query(source: Source) {
    counter!(SOURCE_QUERIES, "source" => source.word()).increment(1);
}

pub(crate) fn replica_usable(number: usize, is_usable: bool) {
    gauge!(REPLICA_USABLE, "replica" => number.to_string()).set(f64::from(u8::from(is_usable)));
}

/// How a read ended, if it had a demand.
pub(crate) fn demanded(demand: &Demand, outcome: Result<&Trace, &ReadError>) {
    if demand.is_none() {
        return;
    }
    let end = match outcome {
        Ok(trace) => trace.tier(),
        Err(ReadError::Token(_)) => "refused",
        Err(_) => "unavailable",
    };
    if demand.no_cache {
        counter!(NO_CACHE_READS, "result" => end).increment(1);
    }
    if !demand.including.is_empty() {
        counter!(TOKEN_READS, "result" => end).increment(1);
    }
}

/// A read came with tokens that are none.
pub(crate) fn token_refused() {
    counter!(TOKEN_READS, "result" => "refused").increment(1);
}

pub(crate) fn token_waited(wait: Duration) {
    histogram!(TOKEN_WAIT).record(wait);
}

pub(crate) fn log_message() {
    counter!(LOG_MESSAGES).increment(1);
}

pub(crate) fn log_undecodable() {
    counter!(LOG_UNDECODABLE).increment(1);
}

pub(crate) fn log_restarted(reason: &'static str) {
    counter!(LOG_RESTARTS, "reason" => reason).increment(1);
}

pub(crate) fn log_replayed(took: Duration) {
    gauge!(LOG_REPLAY).set(took.as_secs_f64());
}

/// A change is in effect on this node; a clock that is ahead makes no negative lag.
pub(crate) fn visible_after(lag: time::Duration) {
    histogram!(VISIBLE_LAG).record(lag.as_seconds_f64().max(0.0));
}

#[expect(clippy::cast_precision_loss, reason = "no node has 2^53 of anything")]
pub(crate) fn sampled(sample: &Sample) {
    gauge!(AS_OF_AGE).set(sample.as_of_age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
    gauge!(HEARTBEAT_AGE).set(sample.heartbeat_age.as_secs_f64());
    gauge!(LOG_CHANGES).set(sample.log_changes as f64);
    gauge!(NEAR_BYTES).set(sample.near_bytes as f64);
    gauge!(NEAR_ENTRIES).set(sample.near_entries as f64);
    gauge!(TAIL_BYTES).set(sample.tail_bytes as f64);
}
