//! The form of a key: `freshet_`, its public id, `_`, and 256 random bits that are shown once and never kept.
//!
//! Invariant: nothing here can be printed or logged by accident; whoever wants a key's text must ask for it by name.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

const PREFIX: &str = "freshet_";
const ID_LENGTH: usize = 12;
const SECRET_BYTES: usize = 32;
/// In base64 without padding.
const SECRET_LENGTH: usize = (SECRET_BYTES * 4).div_ceil(3);
const KEY_LENGTH: usize = PREFIX.len() + ID_LENGTH + 1 + SECRET_LENGTH;

/// Names a key in lists, logs and history: 12 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_LENGTH]);

impl KeyId {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("an id is made of digits")
    }

    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let digits: [u8; ID_LENGTH] = text.try_into().ok()?;
        digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some(Self(digits))
    }
}

/// The text is no id of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the id of a key, {ID_LENGTH} hexadecimal digits")]
pub struct NoKeyId;

impl FromStr for KeyId {
    type Err = NoKeyId;

    fn from_str(text: &str) -> Result<Self, NoKeyId> {
        Self::read(text.as_bytes()).ok_or(NoKeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl PartialSchema for KeyId {
    fn schema() -> RefOr<Schema> {
        let digits = format!("^[0-9a-f]{{{ID_LENGTH}}}$");
        ObjectBuilder::new().schema_type(Type::String).pattern(Some(digits)).examples(["0123456789ab"]).into()
    }
}

impl ToSchema for KeyId {
    fn name() -> Cow<'static, str> {
        "KeyId".into()
    }
}

/// What is kept of a key.
#[derive(Clone, Copy)]
pub(crate) struct KeyHash([u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash")
    }
}

impl KeyHash {
    fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    pub(crate) fn from_stored(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// In a time that does not tell how much of it is alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// A key as a request brings it: of the right form, and no more is known of it.
pub(crate) struct PresentedKey {
    pub(crate) id: KeyId,
    pub(crate) hash: KeyHash,
}

impl PresentedKey {
    /// From `Authorization: Bearer …`; none if there is no such header, more than one, or one that can be no key of ours.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else { return None };
        let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return None;
        }
        Self::read(key)
    }

    fn read(key: &[u8]) -> Option<Self> {
        if key.len() != KEY_LENGTH {
            return None;
        }
        let (id, secret) = key.strip_prefix(PREFIX.as_bytes())?.split_at(ID_LENGTH);
        let is_secret = |secret: &[u8]| secret.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_'));
        let id = KeyId::read(id)?;
        secret.strip_prefix(b"_").is_some_and(is_secret).then(|| Self { id, hash: KeyHash::of(key) })
    }
}

/// A key that has just been made.
pub(crate) struct FreshKey {
    pub(crate) id: KeyId,
    pub(crate) hash: KeyHash,
    text: String,
}

impl FreshKey {
    /// Of bits from the system's source of randomness.
    ///
    /// # Panics
    /// The system has none; a key of anything less must not exist.
    pub(crate) fn make() -> Self {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).expect("the system gives random bytes");
        let id = getrandom::u64().expect("the system gives random bytes") >> (u64::BITS as usize - 4 * ID_LENGTH);
        let text = format!("{PREFIX}{id:0ID_LENGTH$x}_{}", BASE64_URL_SAFE_NO_PAD.encode(secret));
        let PresentedKey { id, hash } = PresentedKey::read(text.as_bytes()).expect("it has the form of a key");
        Self { id, hash, text }
    }

    /// For whoever asked for it, once.
    pub(crate) fn reveal(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn presented(headers: &[&str]) -> Option<PresentedKey> {
        let mut sent = HeaderMap::new();
        for value in headers {
            sent.append(header::AUTHORIZATION, HeaderValue::from_str(value).expect("text"));
        }
        PresentedKey::of(&sent)
    }

    #[test]
    fn a_key_that_was_made_is_known_by_its_id_and_by_its_hash_alone() {
        let made = FreshKey::make();
        let (id, hash) = (made.id, made.hash);
        let text = made.reveal();
        for scheme in ["Bearer", "bearer"] {
            let read = presented(&[&format!("{scheme} {text}")]).expect("a key");
            assert!(read.id == id && read.hash.is(&hash));
        }
        assert_eq!(text.len(), KEY_LENGTH);
        assert_eq!(&text[PREFIX.len()..][..ID_LENGTH], id.as_str());
        let other = FreshKey::make();
        assert!(other.id != id && !other.hash.is(&hash));
    }

    #[test]
    fn what_can_be_no_key_is_told_without_asking_anybody() {
        let text = FreshKey::make().reveal();
        let (longer, upper) = (format!("{text}A"), text.to_uppercase());
        let replaced = |at: usize, with: &str| format!("{}{with}{}", &text[..at], &text[at + 1..]);
        for bad in [
            &text[..KEY_LENGTH - 1],
            &longer,
            &upper,
            &replaced(0, "F"),
            &replaced(PREFIX.len(), "g"),
            &replaced(PREFIX.len() + ID_LENGTH, "-"),
            &replaced(KEY_LENGTH - 1, "="),
            "",
        ] {
            assert!(presented(&[&format!("Bearer {bad}")]).is_none(), "{bad}");
        }
        for bad in [&[][..], &["Basic dTpw"], &[&text], &["Bearer"], &["Bearer "]] {
            assert!(presented(bad).is_none(), "{bad:?}");
        }
        let twice = format!("Bearer {text}");
        assert!(presented(&[&twice, &twice]).is_none());
    }

    #[test]
    fn the_id_of_a_key_is_read_strictly() {
        assert_eq!("0123456789ab".parse::<KeyId>().map(|id| id.to_string()), Ok("0123456789ab".to_owned()));
        for bad in ["", "0123456789a", "0123456789abc", "0123456789AB", "0123456789a_"] {
            assert_eq!(bad.parse::<KeyId>(), Err(NoKeyId), "{bad}");
        }
    }
}
