//! The id of a request: the client's own if it is sane, else a new one; and, once known, who asks. Both are known to
//! everything that runs for the request.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::{Builder, Uuid};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client: generous for any tracing system, small in every log line.
const REQUEST_ID_LENGTH_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: RequestContext;
}

/// One moment by two clocks.
static BEGUN: LazyLock<(Instant, Duration)> =
    LazyLock::new(|| (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()));

thread_local! {
    /// Keys from the system's random source, and how many ids they have made.
    static RANDOM: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

/// The id of one request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(Id);

#[derive(Clone, Debug)]
enum Id {
    Sent(HeaderValue),
    Made(Uuid),
}

/// The id of the request being served; empty outside of one.
pub fn current_request_id() -> String {
    RequestId::current().map(|id| id.to_string()).unwrap_or_default()
}

/// Says who makes the request being served: what is logged for it from now on names them.
pub fn name_actor(actor: &Arc<str>) {
    // Outside of a request nobody is to be named, and the first who was let in stays.
    let _ = CURRENT.try_with(|request| request.actor.set(Arc::clone(actor)));
}

/// Who makes the request being served, if that is known.
pub(crate) fn current_actor() -> Option<Arc<str>> {
    CURRENT.try_with(|request| request.actor.get().cloned()).ok().flatten()
}

/// Runs `work` outside a request's own task, such as in a streamed body, for the request: what it logs and refuses names
/// it.
pub async fn in_request<T>(request: Option<RequestContext>, work: impl Future<Output = T>) -> T {
    match request {
        Some(request) => CURRENT.scope(request, work).await,
        None => work.await,
    }
}

/// What is known of a request wherever something is done for it.
#[derive(Clone, Debug)]
pub struct RequestContext {
    id: RequestId,
    actor: OnceCell<Arc<str>>,
}

impl RequestContext {
    /// That of the request being served.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

impl RequestId {
    /// The id of the request being served.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(|request| request.id.clone()).ok()
    }

    /// Runs `work` for the request with this id.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(RequestContext { id: self, actor: OnceCell::new() }, work)
    }

    /// The same for what waits for nothing.
    pub(crate) fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(RequestContext { id: self, actor: OnceCell::new() }, work)
    }

    /// Takes the client's `X-Request-Id` or makes a new id (UUID version 7, so that ids sort by time).
    pub(crate) fn choose(headers: &HeaderMap, now: Instant) -> Self {
        let sent = headers.get(X_REQUEST_ID).filter(|value| is_sane(value));
        Self(sent.map_or_else(|| Id::Made(new_id(now)), |value| Id::Sent(value.clone())))
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        match &self.0 {
            Id::Sent(value) => value.clone(),
            Id::Made(uuid) => {
                let mut text = Uuid::encode_buffer();
                HeaderValue::from_str(uuid.hyphenated().encode_lower(&mut text)).expect("digits and hyphens")
            }
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Sent(value) => f.write_str(value.to_str().expect("only visible ASCII is taken")),
            Id::Made(uuid) => uuid.fmt(f),
        }
    }
}

/// Without a system call: ids tell requests apart and protect nothing, so a keyed hash of a counter is random enough, and
/// the time since the process began is time enough.
fn new_id(now: Instant) -> Uuid {
    let (begun, since_1970) = *BEGUN;
    let millis = (since_1970 + now.saturating_duration_since(begun)).as_millis();
    let (high, low) = RANDOM.with(|(keys, made)| {
        let number = made.get();
        made.set(number + 1);
        (keys.hash_one(number), keys.hash_one(!number))
    });
    let mut random = [0; 10];
    random[..8].copy_from_slice(&high.to_be_bytes());
    random[8..].copy_from_slice(&low.to_be_bytes()[..2]);
    Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or(u64::MAX), &random).into_uuid()
}

fn is_sane(value: &HeaderValue) -> bool {
    (1..=REQUEST_ID_LENGTH_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let with =
            |id: &str| HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(id).expect("a header value"))]);
        let chosen = |headers: &HeaderMap| RequestId::choose(headers, Instant::now()).to_string();
        assert_eq!(chosen(&with("order-17")), "order-17");
        for bad in ["", "two words", &"x".repeat(REQUEST_ID_LENGTH_MAX + 1)] {
            assert_eq!(chosen(&with(bad)).len(), Uuid::nil().to_string().len(), "{bad:?}");
        }
    }

    #[test]
    fn new_ids_differ_also_between_threads_and_sort_by_time() {
        let make = || (0..10_000).map(|_| new_id(Instant::now())).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(make)).collect();
        let ids: HashSet<Uuid> = threads.into_iter().flat_map(|thread| thread.join().expect("ids")).collect();
        assert_eq!(ids.len(), 40_000);
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        let (earlier, later) = (Uuid::now_v7(), new_id(Instant::now()));
        assert!(earlier.get_timestamp().map(|at| at.to_unix().0) <= later.get_timestamp().map(|at| at.to_unix().0));
    }
}
