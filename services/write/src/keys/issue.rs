//! Makes keys: what is asked for, read strictly, and what is shown once.

use catalog::{Fields, Refusal};
use serde::Serialize;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::ToSchema;

use super::key::FreshKey;
use super::{KeyId, Scope, Scopes};
use crate::store::api_keys;

const NAME_LENGTH_MAX: usize = 100;
const FIELDS: &str = "name, scopes, expires_at";

/// A key that is asked for
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
pub struct NewKey {
    /// Says whose it is, in the history of products and in logs; need not be unique
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// At least one
    #[schema(value_type = Vec<Scope>, min_items = 1)]
    scopes: Scopes,
    /// From when on it is good for nothing; never if absent or null
    #[schema(required = false)]
    expires_at: Option<OffsetDateTime>,
}

/// A key that was just made
#[derive(Serialize, ToSchema)]
pub struct IssuedKey {
    pub id: KeyId,
    pub name: String,
    #[schema(value_type = Vec<Scope>)]
    pub scopes: Scopes,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required = true)]
    pub expires_at: Option<OffsetDateTime>,
    /// The key itself, to be sent as `Authorization: Bearer <key>`. It is kept nowhere and never shown again.
    #[schema(example = "freshet_0123456789ab_…")]
    pub key: String,
}

impl NewKey {
    /// # Errors
    /// The name is empty, too long, padded or has control characters; there is no scope; it would be expired at once.
    pub fn new(name: &str, scopes: Scopes, expires_at: Option<OffsetDateTime>) -> Result<Self, String> {
        Ok(Self { name: checked_name(name)?, scopes: checked_scopes(scopes)?, expires_at: checked_expiry(expires_at)? })
    }

    /// Reads and checks the JSON of one.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, Refusal> {
        let mut fields = Fields::parse(json)?;
        let name = fields.require("name", |json| checked_name(&text(json)?));
        let scopes = fields.require("scopes", |json| checked_scopes(scopes(json)?));
        let expires_at = fields.take_nullable("expires_at", |json| checked_expiry(Some(moment(&text(json)?)?)));
        let built =
            name.zip(scopes).map(|(name, scopes)| Self { name, scopes, expires_at: expires_at.flatten().flatten() });
        fields.finish(FIELDS, built)
    }
}

/// Makes a key and stores what is kept of it.
pub async fn issue(connection: &mut PgConnection, new: NewKey) -> sqlx::Result<IssuedKey> {
    let fresh = FreshKey::make();
    let NewKey { name, scopes, expires_at } = new;
    let created_at = api_keys::insert(connection, (fresh.id, fresh.hash), &name, scopes, expires_at).await?;
    Ok(IssuedKey { id: fresh.id, name, scopes, created_at, expires_at, key: fresh.reveal() })
}

/// Reads a moment as people and programs write it.
///
/// # Errors
/// It is not in the form of RFC 3339.
pub(crate) fn moment(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "must be a time such as 2027-01-31T00:00:00Z (RFC 3339)".to_owned())
}

fn text(json: &str) -> Result<String, String> {
    serde_json::from_str(json).map_err(|_| "must be a string".to_owned())
}

fn scopes(json: &str) -> Result<Scopes, String> {
    let words: Vec<String> = serde_json::from_str(json).map_err(|_| "must be an array of scopes".to_owned())?;
    words.iter().map(|word| word.parse::<Scope>().map_err(|fault| format!("each {fault}"))).collect()
}

fn checked_name(name: &str) -> Result<String, String> {
    let length = name.chars().count();
    if length == 0 || length > NAME_LENGTH_MAX {
        return Err(format!("must have 1 to {NAME_LENGTH_MAX} characters, has {length}"));
    }
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err("must not begin or end with white space or contain control characters".to_owned());
    }
    Ok(name.to_owned())
}

fn checked_scopes(scopes: Scopes) -> Result<Scopes, String> {
    if scopes.is_empty() { Err("must name at least one scope".to_owned()) } else { Ok(scopes) }
}

fn checked_expiry(expires_at: Option<OffsetDateTime>) -> Result<Option<OffsetDateTime>, String> {
    match expires_at {
        Some(at) if at <= OffsetDateTime::now_utc() => Err("must be in the future".to_owned()),
        _ => Ok(expires_at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_of_a_key_that_is_asked_for_is_named() {
        let body = br#"{"name":" padded","scopes":["products:read"],"expires_at":"2020-01-01T00:00:00Z","key":"mine"}"#;
        let Err(Refusal::Invalid(faults)) = NewKey::parse(body) else { panic!("it is refused") };
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["#/name", "#/scopes", "#/expires_at", "#/key"]);
        assert_eq!(faults[1].detail, "each must be one of products:write, products:bulk, keys:admin");
        for bad in [r#"{"name":"a"}"#, r#"{"name":"a","scopes":[]}"#, r#"{"name":"a","scopes":"keys:admin"}"#] {
            assert!(NewKey::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_without_an_expiry_never_expires() {
        for json in
            [r#"{"name":"a","scopes":["keys:admin"]}"#, r#"{"name":"a","scopes":["keys:admin"],"expires_at":null}"#]
        {
            assert_eq!(NewKey::parse(json.as_bytes()).map(|new| new.expires_at), Ok(None));
        }
        let later = br#"{"name":"a","scopes":["keys:admin"],"expires_at":"2999-01-01T00:00:00+01:00"}"#;
        assert!(NewKey::parse(later).is_ok_and(|new| new.expires_at.is_some()));
    }
}
