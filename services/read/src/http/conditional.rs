//! The headers of every cacheable answer, and 304 for whoever holds it already.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use catalog::Version;
use sha2::{Digest, Sha256};

pub(super) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
pub(super) const CATALOG_AS_OF: HeaderName = HeaderName::from_static("catalog-as-of");
/// `Consistency-Token` is sent by clients that must see their own writes: their answers are not for others.
pub(super) const VARY: HeaderValue = HeaderValue::from_static("Accept-Encoding, Consistency-Token");

/// A validator as it stands in `ETag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EntityTag(HeaderValue);

impl EntityTag {
    /// Of one product: strong, its version.
    pub(crate) fn of_version(version: Version) -> Self {
        Self(etag_of(version))
    }

    /// The same of a part of what it is of.
    pub(crate) fn weak(&self) -> Self {
        Self(tag(format!("W/{}", self.0.to_str().unwrap_or_default())))
    }

    /// Of a list: weak, since equal bodies are all that it promises. Half a digest tells 2^64 bodies apart.
    pub(crate) fn of_body(body: &[u8]) -> Self {
        let digest = Sha256::digest(body);
        let half = digest.first_chunk().expect("a digest has 32 bytes");
        Self(tag(format!("W/\"{:032x}\"", u128::from_be_bytes(*half))))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Whether `If-None-Match` names it (RFC 9110, 13.1.2: weak comparison), so that a client that got a compressed,
    /// and therefore weak, form finds its tag again.
    fn is_named_by(&self, request: &HeaderMap) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let own = self.0.to_str().map(opaque).unwrap_or_default();
        request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || opaque(tag) == own)
    }
}

/// The strong tag of a version.
pub(crate) fn etag_of(version: Version) -> HeaderValue {
    tag(format!("\"{version}\""))
}

fn tag(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("tags are visible ASCII")
}

/// What is answered if nothing goes wrong.
#[derive(Debug)]
pub(crate) struct Cacheable {
    pub(crate) body: Bytes,
    pub(crate) etag: EntityTag,
    /// RFC 9211, such as `redis; hit`.
    pub(crate) cache_status: String,
    /// Every write acknowledged before it is in the answer; none while the log vouches for nothing.
    pub(crate) as_of: Option<HeaderValue>,
}

/// 200 with the body, or 304 without it if the request says that the client holds it.
pub(crate) fn conditional(request: &HeaderMap, cache_control: &HeaderValue, found: Cacheable) -> Response {
    let is_held = found.etag.is_named_by(request);
    let mut answer = Response::new(if is_held { Body::empty() } else { Body::from(found.body) });
    if is_held {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    let headers = answer.headers_mut();
    headers.insert(header::ETAG, found.etag.0);
    headers.insert(header::CACHE_CONTROL, cache_control.clone());
    headers.insert(header::VARY, VARY);
    promise(headers, found.cache_status, found.as_of);
    answer
}

/// What every answer from the catalogue says of itself, "not found" included.
pub(crate) fn promise(headers: &mut HeaderMap, cache_status: String, as_of: Option<HeaderValue>) {
    headers.insert(CACHE_STATUS, HeaderValue::try_from(cache_status).expect("cache statuses are visible ASCII"));
    if let Some(as_of) = as_of {
        headers.insert(CATALOG_AS_OF, as_of);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(if_none_match: &str) -> StatusCode {
        let request = HeaderMap::from_iter([(
            header::IF_NONE_MATCH,
            HeaderValue::from_str(if_none_match).expect("a header value"),
        )]);
        let etag = EntityTag::of_version(Version::try_from(42).expect("not negative"));
        let as_of = Some(HeaderValue::from_static("2026-01-02T03:04:05.678Z"));
        let found = Cacheable { body: Bytes::from_static(b"{}"), etag, cache_status: "redis; hit".to_owned(), as_of };
        let answer = conditional(&request, &HeaderValue::from_static("no-cache"), found);
        for name in [header::ETAG, header::CACHE_CONTROL, header::VARY, CACHE_STATUS, CATALOG_AS_OF] {
            assert!(answer.headers().contains_key(&name), "{name}");
        }
        answer.status()
    }

    #[test]
    fn whoever_names_the_tag_gets_no_body() {
        for held in ["\"42\"", "W/\"42\"", "\"1\", \"42\"", "\"1\",W/\"42\"", "*"] {
            assert_eq!(status(held), StatusCode::NOT_MODIFIED, "{held}");
        }
        for other in ["\"41\"", "42", "\"1\", \"2\"", ""] {
            assert_eq!(status(other), StatusCode::OK, "{other}");
        }
    }

    #[test]
    fn the_tag_of_a_list_is_weak_and_follows_its_body() {
        let (one, other) = (EntityTag::of_body(b"[1]"), EntityTag::of_body(b"[2]"));
        assert_ne!(one, other);
        assert!(one.0.as_bytes().starts_with(b"W/\"") && one.0.len() == 36, "{one:?}");
    }
}
