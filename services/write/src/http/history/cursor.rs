//! Where a page of a history ended, as text that only the same history can carry on from.
//!
//! The form, in base64url: version byte, `p` and the product's id or `b` and the bulk's, then the last change: its version, and
//! before it its product's id in the history of a bulk. It holds no secret and grants nothing, so it is checked, not signed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{ProductId, Version};
use uuid::Uuid;

const VERSION: u8 = 1;

/// Why a text is not accepted as cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CursorFault {
    #[error("cursor: is not one that was given out here; leave it away to begin anew")]
    NotOurs,
    #[error("cursor: has a form that is not known here, as after an update; leave it away to begin anew")]
    UnknownVersion,
    #[error("cursor: belongs to another history; leave it away to begin anew")]
    OtherHistory,
}

pub(super) fn of_product(id: ProductId, last: Version) -> String {
    encode(&product(id), &last.get().to_be_bytes())
}

pub(super) fn of_bulk(bulk_id: Uuid, last: (ProductId, Version)) -> String {
    encode(&bulk(bulk_id), &[last.0.get().to_be_bytes(), last.1.get().to_be_bytes()].concat())
}

pub(super) fn read_of_product(text: &str, id: ProductId) -> Result<Version, CursorFault> {
    let last = decode(text, &product(id))?;
    version(&last).ok_or(CursorFault::NotOurs)
}

pub(super) fn read_of_bulk(text: &str, bulk_id: Uuid) -> Result<(ProductId, Version), CursorFault> {
    let last = decode(text, &bulk(bulk_id))?;
    let read = last.split_at_checked(8).and_then(|(id, last)| {
        let id = i64::from_be_bytes(id.try_into().ok()?);
        Some((ProductId::try_from(id).ok()?, version(last)?))
    });
    read.ok_or(CursorFault::NotOurs)
}

fn product(id: ProductId) -> Vec<u8> {
    [b"p", id.get().to_be_bytes().as_slice()].concat()
}

fn bulk(bulk_id: Uuid) -> Vec<u8> {
    [b"b", bulk_id.as_bytes().as_slice()].concat()
}

fn version(bytes: &[u8]) -> Option<Version> {
    let version = Version::try_from(i64::from_be_bytes(bytes.try_into().ok()?)).ok()?;
    (version != Version::ABSENT).then_some(version)
}

fn encode(history: &[u8], last: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([&[VERSION], history, last].concat())
}

/// What stands behind the name of this history.
fn decode(text: &str, history: &[u8]) -> Result<Vec<u8>, CursorFault> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorFault::NotOurs)?;
    match bytes.split_first() {
        Some((&VERSION, bytes)) if bytes.starts_with(b"p") || bytes.starts_with(b"b") => {
            bytes.strip_prefix(history).map(<[u8]>::to_vec).ok_or(CursorFault::OtherHistory)
        }
        Some((&VERSION, _)) | None => Err(CursorFault::NotOurs),
        Some(_) => Err(CursorFault::UnknownVersion),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BULK: Uuid = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);

    fn id(number: i64) -> ProductId {
        number.try_into().expect("positive")
    }

    fn at(number: i64) -> Version {
        number.try_into().expect("positive")
    }

    #[test]
    fn the_wire_form_is_frozen() {
        let of_product = of_product(id(258), at(7));
        assert_eq!(of_product, "AXAAAAAAAAABAgAAAAAAAAAH");
        assert_eq!(read_of_product(&of_product, id(258)), Ok(at(7)));
        let of_bulk = of_bulk(BULK, (id(258), at(7)));
        assert_eq!(of_bulk, "AWIBmMDeAABwAIAAAAAAAAABAAAAAAAAAQIAAAAAAAAABw");
        assert_eq!(read_of_bulk(&of_bulk, BULK), Ok((id(258), at(7))));
    }

    #[test]
    fn misuse_is_told_apart() {
        let text = of_product(id(1), at(2));
        assert_eq!(read_of_product(&text, id(3)), Err(CursorFault::OtherHistory));
        assert_eq!(read_of_bulk(&text, BULK), Err(CursorFault::OtherHistory));
        assert_eq!(read_of_bulk(&of_bulk(BULK, (id(1), at(2))), Uuid::nil()), Err(CursorFault::OtherHistory));
        for none in ["", "AQ", "!", &text[..20], &format!("{text}AA"), &of_product(id(1), at(0))] {
            assert_eq!(read_of_product(none, id(1)), Err(CursorFault::NotOurs), "{none}");
        }
        let newer = URL_SAFE_NO_PAD.encode([VERSION + 1, b'p']);
        assert_eq!(read_of_product(&newer, id(1)), Err(CursorFault::UnknownVersion));
    }
}
