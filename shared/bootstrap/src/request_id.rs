//! The id of a request: the client's own if it is sane, else a new one; known to everything that runs for the request.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id taken from a client: generous for any tracing system, small in every log line.
const REQUEST_ID_LENGTH_MAX: usize = 128;

tokio::task_local! {
    pub(crate) static REQUEST_ID: String;
}

/// The id of the request being served; empty outside of one.
pub fn current_request_id() -> String {
    REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// Takes the client's `X-Request-Id` or makes a new id (UUID version 7, so that ids sort by time).
pub(crate) fn choose(headers: &HeaderMap) -> String {
    headers
        .get(X_REQUEST_ID)
        .filter(|value| is_sane(value))
        .and_then(|value| value.to_str().ok())
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

fn is_sane(value: &HeaderValue) -> bool {
    (1..=REQUEST_ID_LENGTH_MAX).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let with =
            |id: &str| HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(id).expect("a header value"))]);
        assert_eq!(choose(&with("order-17")), "order-17");
        for bad in ["", "two words", &"x".repeat(REQUEST_ID_LENGTH_MAX + 1)] {
            assert_eq!(choose(&with(bad)).len(), Uuid::nil().to_string().len(), "{bad:?}");
        }
        assert_ne!(choose(&HeaderMap::new()), choose(&HeaderMap::new()));
    }
}
