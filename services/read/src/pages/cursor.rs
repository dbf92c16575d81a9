//! Where a page ended, as text that only the same query can carry on from.
//!
//! The form, in base64url: version byte, 8 bytes that bind it to its query, the last row's id, and its sort key.
//! It holds no secret and grants nothing, so it is checked, not signed.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{Currency, Name, Price, ProductId};
use time::OffsetDateTime;

use super::query::Sort;

const VERSION: u8 = 1;

/// The beginning of a digest of the query: a cursor is mistaken for another query's once in 2^64 times.
pub(crate) type Binding = [u8; 8];

/// The last row of a page: the next page holds what stands behind it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LastSeen {
    pub(crate) key: SortKey,
    pub(crate) id: ProductId,
}

/// What a row is sorted by, before its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SortKey {
    Rank(f64),
    Id,
    Name(Name),
    /// In minor units of the list's currency.
    Price(i64),
    /// To the microsecond, as Postgres holds it.
    CreatedAt(OffsetDateTime),
}

impl LastSeen {
    /// Which of the two stands first in a list of this order. Keys of another order compare as equal.
    pub(crate) fn cmp_in(&self, other: &Self, sort: Sort) -> Ordering {
        let keys = match (&self.key, &other.key) {
            (SortKey::Rank(one), SortKey::Rank(other)) => one.total_cmp(other),
            (SortKey::Name(one), SortKey::Name(other)) => one.as_str().as_bytes().cmp(other.as_str().as_bytes()),
            (SortKey::Price(one), SortKey::Price(other)) => one.cmp(other),
            (SortKey::CreatedAt(one), SortKey::CreatedAt(other)) => one.cmp(other),
            _ => Ordering::Equal,
        };
        let ascending = keys.then(self.id.cmp(&other.id));
        match sort {
            Sort::Id | Sort::Name | Sort::Price => ascending,
            Sort::Relevance | Sort::PriceDescending | Sort::NewestFirst => ascending.reverse(),
        }
    }
}

/// Why a text is not accepted as cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorFault {
    #[error("is not one that was given out here; leave it away to begin anew")]
    NotOurs,
    #[error("has a form that is not known here, as after an update; leave it away to begin anew")]
    UnknownVersion,
    #[error(
        "belongs to another query: only limit may differ from the request that gave it out; leave it away to begin anew"
    )]
    OtherQuery,
}

pub(crate) fn encode(last: &LastSeen, binding: Binding) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(binding);
    bytes.extend(last.id.get().to_be_bytes());
    match &last.key {
        SortKey::Rank(rank) => bytes.extend(rank.to_be_bytes()),
        SortKey::Id => {}
        SortKey::Name(name) => bytes.extend(name.as_str().as_bytes()),
        SortKey::Price(minor) => bytes.extend(minor.to_be_bytes()),
        SortKey::CreatedAt(at) => bytes.extend(micros(*at).to_be_bytes()),
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str, sort: Sort, binding: Binding) -> Result<LastSeen, CursorFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorFault::NotOurs)?;
    let (version, bytes) = bytes.split_first().ok_or(CursorFault::NotOurs)?;
    if *version != VERSION {
        return Err(CursorFault::UnknownVersion);
    }
    let (bound_to, bytes) = bytes.split_first_chunk().ok_or(CursorFault::NotOurs)?;
    if *bound_to != binding {
        return Err(CursorFault::OtherQuery);
    }
    read(bytes, sort).ok_or(CursorFault::NotOurs)
}

/// The last row; nothing that could not have been one reaches the database.
fn read(bytes: &[u8], sort: Sort) -> Option<LastSeen> {
    let (id, key) = bytes.split_first_chunk()?;
    let id = ProductId::try_from(i64::from_be_bytes(*id)).ok()?;
    let key = match sort {
        Sort::Relevance => {
            SortKey::Rank(Some(f64::from_be_bytes(key.try_into().ok()?)).filter(|rank| rank.is_finite())?)
        }
        Sort::Id => key.is_empty().then_some(SortKey::Id)?,
        Sort::Name => SortKey::Name(std::str::from_utf8(key).ok()?.parse().ok()?),
        Sort::Price | Sort::PriceDescending => {
            let minor = i64::from_be_bytes(key.try_into().ok()?);
            // Any currency: all have the same bounds.
            SortKey::Price(Price::from_minor(minor, Currency::default())?.minor())
        }
        Sort::NewestFirst => SortKey::CreatedAt(moment(i64::from_be_bytes(key.try_into().ok()?))?),
    };
    Some(LastSeen { key, id })
}

/// Microseconds since 1970.
fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000).expect("microseconds of ten thousand years fit")
}

/// No product is older than 1970, and Postgres takes every later moment that can be written with four digits of year.
fn moment(micros: i64) -> Option<OffsetDateTime> {
    let nanos = i128::from(micros) * 1_000;
    (micros >= 0).then(|| OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BINDING: Binding = *b"12345678";

    fn last_seen() -> impl Strategy<Value = (Sort, LastSeen)> {
        let key = prop_oneof![
            (0_f64..100.0).prop_map(|rank| (Sort::Relevance, SortKey::Rank(rank))),
            Just((Sort::Id, SortKey::Id)),
            "[^\\p{Cc}\\s\\u{FEFF}]{1,500}".prop_map(|name| (Sort::Name, SortKey::Name(name.parse().expect("a name")))),
            (0_i64..=999_999_999_999_999).prop_map(|minor| (Sort::Price, SortKey::Price(minor))),
            (0_i64..=999_999_999_999_999).prop_map(|minor| (Sort::PriceDescending, SortKey::Price(minor))),
            (0_i64..=253_402_300_799_999_999)
                .prop_map(|at| (Sort::NewestFirst, SortKey::CreatedAt(moment(at).expect("in range")))),
        ];
        let id = (1_i64..).prop_map(|id| ProductId::try_from(id).expect("positive"));
        (key, id).prop_map(|((sort, key), id)| (sort, LastSeen { key, id }))
    }

    proptest! {
        #[test]
        fn every_cursor_reads_back_as_it_was_written((sort, last) in last_seen()) {
            prop_assert_eq!(decode(&encode(&last, BINDING), sort, BINDING), Ok(last));
        }

        #[test]
        fn no_text_makes_the_decoder_fail_otherwise_than_by_saying_so(text in "\\PC{0,80}", bytes: Vec<u8>) {
            let forged = URL_SAFE_NO_PAD.encode([&[VERSION], BINDING.as_slice(), &bytes].concat());
            for sort in Sort::SEARCHED {
                prop_assert!(decode(&text, sort, BINDING).is_err());
                if let Ok(last) = decode(&forged, sort, BINDING) {
                    prop_assert_eq!(encode(&last, BINDING), forged.clone());
                }
            }
        }
    }

    #[test]
    fn the_wire_form_is_frozen() {
        let id = ProductId::try_from(258).expect("positive");
        let at = moment(1_700_000_000_000_001).expect("in range");
        for (sort, key, text) in [
            (Sort::Relevance, SortKey::Rank(0.5), "ATEyMzQ1Njc4AAAAAAAAAQI_4AAAAAAAAA"),
            (Sort::Id, SortKey::Id, "ATEyMzQ1Njc4AAAAAAAAAQI"),
            (Sort::Name, SortKey::Name("Lämp".parse().expect("a name")), "ATEyMzQ1Njc4AAAAAAAAAQJMw6RtcA"),
            (Sort::Price, SortKey::Price(1_999), "ATEyMzQ1Njc4AAAAAAAAAQIAAAAAAAAHzw"),
            (Sort::NewestFirst, SortKey::CreatedAt(at), "ATEyMzQ1Njc4AAAAAAAAAQIABgokGB5AAQ"),
        ] {
            let last = LastSeen { key, id };
            assert_eq!(encode(&last, BINDING), text);
            assert_eq!(decode(text, sort, BINDING), Ok(last));
        }
    }

    #[test]
    fn misuse_is_told_apart() {
        let last = LastSeen { key: SortKey::Price(5), id: ProductId::try_from(1).expect("positive") };
        let text = encode(&last, BINDING);
        assert_eq!(decode(&text, Sort::Price, *b"87654321"), Err(CursorFault::OtherQuery));
        assert_eq!(decode(&text[..20], Sort::Price, BINDING), Err(CursorFault::NotOurs));
        assert_eq!(decode(&format!("{text}=="), Sort::Price, BINDING), Err(CursorFault::NotOurs));
        assert_eq!(decode("", Sort::Price, BINDING), Err(CursorFault::NotOurs));
        let newer = URL_SAFE_NO_PAD.encode([&[VERSION + 1], BINDING.as_slice()].concat());
        assert_eq!(decode(&newer, Sort::Price, BINDING), Err(CursorFault::UnknownVersion));
        let rank = LastSeen { key: SortKey::Rank(f64::NAN), id: last.id };
        assert_eq!(decode(&encode(&rank, BINDING), Sort::Relevance, BINDING), Err(CursorFault::NotOurs));
    }
}
