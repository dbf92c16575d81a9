//! What a change depends on, as its request says in headers: `If-Match`, `Idempotency-Key` and `Prefer`.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use bootstrap::current_request_id;
use catalog::{IfMatch, Version};
use sha2::{Digest, Sha256};

use crate::commit::{IdempotencyKey, Once};
use crate::error::WriteError;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Longer keys are refused: a UUID has 36 characters.
const KEY_LENGTH_MAX: usize = 255;

/// The headers of a change of one product.
pub(super) struct Conditions {
    pub(super) if_match: Option<IfMatch>,
    once: Option<IdempotencyKey>,
    /// Method, path and `If-Match` as they came.
    request: Vec<u8>,
}

impl Conditions {
    /// The request as one that is done once, if it has a key; `body` is its own.
    pub(super) fn once(self, body: &[u8]) -> Option<Once> {
        let key = self.once?;
        Some(Once { key, line: 0, request: fingerprint(&self.request, body), request_id: current_request_id() })
    }

    /// The same of a request whose lines are done once each.
    ///
    /// # Errors
    /// The request names versions: they are each line's own.
    pub(super) fn of_lines(self) -> Result<Option<LineKey>, WriteError> {
        if self.if_match.is_some() {
            return Err(WriteError::Header("If-Match is about one product; a line has an if_match of its own"));
        }
        Ok(self.once.map(|key| LineKey { key, request: self.request }))
    }
}

/// Under which lines are done once each.
pub(super) struct LineKey {
    key: IdempotencyKey,
    request: Vec<u8>,
}

impl LineKey {
    pub(super) fn once(&self, line: u64, text: &[u8]) -> Once {
        Once {
            key: self.key.clone(),
            line: i64::try_from(line).expect("a client sends no such number of lines"),
            request: fingerprint(&self.request, text.trim_ascii()),
            request_id: current_request_id(),
        }
    }
}

fn fingerprint(request: &[u8], body: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(request).chain_update(body).finalize().into()
}

impl<S: Sync> FromRequestParts<S> for Conditions {
    type Rejection = WriteError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WriteError> {
        let if_match = if_match(&parts.headers)?;
        let once = idempotency_key(&parts.headers)?;
        let mut request = format!("{} {}\n", parts.method, parts.uri.path()).into_bytes();
        for value in parts.headers.get_all(header::IF_MATCH) {
            request.extend_from_slice(value.as_bytes());
            request.push(b',');
        }
        request.push(b'\n');
        Ok(Self { if_match, once, request })
    }
}

/// Whether the answer is to be left out (RFC 7240): `Prefer: return=minimal`.
pub(super) struct WantsMinimal(pub(super) bool);

impl<S: Sync> FromRequestParts<S> for WantsMinimal {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut preferences = parts.headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        Ok(Self(preferences.any(|value| {
            let mut each = value.split(',').map(|preference| preference.split(';').next().unwrap_or_default().trim());
            each.any(|preference| preference.eq_ignore_ascii_case("return=minimal"))
        })))
    }
}

/// Strong comparison: a weak tag names no version (RFC 9110, section 13.1.1).
fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, WriteError> {
    let fault = WriteError::Header("If-Match must be * or entity tags, such as \"42\", separated by commas");
    let mut versions = Vec::new();
    let mut is_sent = false;
    for value in headers.get_all(header::IF_MATCH) {
        is_sent = true;
        for tag in value.to_str().map_err(|_| fault.clone())?.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Some(IfMatch::Any));
            }
            let opaque = tag.strip_prefix("W/").unwrap_or(tag);
            let opaque = opaque.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).ok_or_else(|| fault.clone())?;
            if versions.len() == IfMatch::VERSIONS_MAX {
                return Err(WriteError::Header("If-Match may name at most 16 entity tags"));
            }
            if !tag.starts_with("W/") {
                versions.extend(opaque.parse::<Version>());
            }
        }
    }
    Ok(is_sent.then_some(IfMatch::Versions(versions)))
}

/// As a structured string (`"8e03…"`) or bare.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, WriteError> {
    let fault = WriteError::Header("Idempotency-Key must be 1 to 255 visible ASCII characters, sent once");
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| fault.clone())?.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let is_key = (1..=KEY_LENGTH_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_key || sent.next().is_some() {
        return Err(fault);
    }
    Ok(Some(IdempotencyKey(text.into())))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn entity_tags_are_versions_and_weak_ones_are_none() {
        let of = |value| if_match(&headers(&[(header::IF_MATCH, value)]));
        let versions = |numbers: &[i64]| {
            IfMatch::Versions(numbers.iter().map(|number| (*number).try_into().expect("a version")).collect())
        };
        assert_eq!(of("\"42\"").expect("valid"), Some(versions(&[42])));
        assert_eq!(of("\"4\", W/\"5\" ,\"6\"").expect("valid"), Some(versions(&[4, 6])));
        assert_eq!(of("\"elsewhere\"").expect("valid"), Some(versions(&[])));
        assert_eq!(of("*").expect("valid"), Some(IfMatch::Any));
        assert!(if_match(&HeaderMap::new()).expect("valid").is_none());
        for bad in ["42", "\"42", "", "\"1\",,"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_quoted_or_bare_and_neither_long_nor_odd() {
        let of = |value| idempotency_key(&headers(&[(IDEMPOTENCY_KEY, value)]));
        assert_eq!(of("\"8e03978e\"").expect("valid"), of("8e03978e").expect("valid"));
        for bad in ["", "\"\"", "a b"] {
            assert!(of(bad).is_err(), "{bad}");
        }
        let mut twice = headers(&[(IDEMPOTENCY_KEY, "a")]);
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("b"));
        assert!(idempotency_key(&twice).is_err());
    }
}
