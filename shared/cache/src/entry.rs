//! One value in Redis: `epoch | version | R | kind | body`.

use bytes::{BufMut, Bytes, BytesMut};
use events::{Epoch, Position};

use catalog::{ProductId, Version};

/// Three big-endian 64-bit numbers and the kind: what the script and the readers compare.
const HEADER_BYTES: usize = 25;

/// What is known of a product at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The product's JSON, as it is answered.
    Product(Bytes),
    /// There is no such product: never was (version 0), or deleted (the tombstone's version).
    Absent,
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub epoch: Epoch,
    pub version: Version,
    /// *R*: the entry includes every change whose event's position is strictly below this one.
    pub read_at: Position,
    pub content: Content,
}

/// Bytes that are no value of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cached value is not in the form this version writes")]
pub struct CorruptEntry;

impl Entry {
    /// The key of a product. The braces make every key of one product fall into one slot of a cluster.
    pub fn key(id: ProductId) -> String {
        format!("freshet:product:{{{id}}}")
    }

    pub fn encode(&self) -> Bytes {
        let (kind, body) = match &self.content {
            Content::Absent => (0, &[][..]),
            Content::Product(body) => (1, &body[..]),
        };
        let mut value = BytesMut::with_capacity(HEADER_BYTES + body.len());
        value.put_u64(self.epoch.0);
        value.put_i64(self.version.get());
        value.put_u64(self.read_at.0);
        value.put_u8(kind);
        value.put_slice(body);
        value.freeze()
    }

    pub fn decode(value: &Bytes) -> Result<Self, CorruptEntry> {
        let number = |at: usize| {
            let bytes = value.get(at..at + 8)?.try_into().ok()?;
            Some(u64::from_be_bytes(bytes))
        };
        let version = number(8).and_then(|version| i64::try_from(version).ok()).ok_or(CorruptEntry)?;
        let content = match value.get(HEADER_BYTES - 1).ok_or(CorruptEntry)? {
            0 => Content::Absent,
            1 => Content::Product(value.slice(HEADER_BYTES..)),
            _ => return Err(CorruptEntry),
        };
        Ok(Self {
            epoch: Epoch(number(0).ok_or(CorruptEntry)?),
            version: version.try_into().map_err(|_| CorruptEntry)?,
            read_at: Position(number(16).ok_or(CorruptEntry)?),
            content,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(content: Content) -> Entry {
        Entry {
            epoch: Epoch(1_700_000_000_000),
            version: Version::try_from(42).expect("not negative"),
            read_at: Position(0x16_B374_D848),
            content,
        }
    }

    #[test]
    fn the_form_of_a_value_is_frozen() {
        let value = entry(Content::Product(Bytes::from_static(b"{}"))).encode();
        assert_eq!(value[..], *b"\0\0\x01\x8b\xcf\xe5\x68\0\0\0\0\0\0\0\0\x2a\0\0\0\x16\xb3\x74\xd8\x48\x01{}");
        assert_eq!(Entry::key(ProductId::try_from(7).expect("positive")), "freshet:product:{7}");
    }

    #[test]
    fn a_value_is_read_back_whole() {
        for content in [Content::Absent, Content::Product(Bytes::from_static(b"{\"id\":1}"))] {
            let entry = entry(content);
            assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }
    }

    #[test]
    fn a_value_of_another_form_is_refused() {
        let value = entry(Content::Absent).encode();
        for length in 0..value.len() {
            assert_eq!(Entry::decode(&value.slice(..length)), Err(CorruptEntry));
        }
        let mut unknown_kind = value.to_vec();
        unknown_kind[24] = 9;
        assert_eq!(Entry::decode(&unknown_kind.into()), Err(CorruptEntry));
    }
}
