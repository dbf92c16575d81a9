//! The `Consistency-Token`: what a write hands to its client, so that a later read can be asked to include the write.
//!
//! It holds no secret and grants nothing, so it is checked, not signed: a forged one costs its sender a wait.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use catalog::{ProductId, Version};
use events::{Epoch, Position};

use crate::{Database, Log, Provenance};

/// The first byte of the form described at [`Token::to_text`].
const FORM: u8 = 1;
/// The form without a product, in bytes.
const SHORT: usize = 17;
/// The form with a product, in bytes.
const LONG: usize = 33;
/// The longest text of a token: 33 bytes in base64url without padding.
pub const TOKEN_TEXT_MAX: usize = 44;

/// Names one write, or everything that was written before a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The epoch that the write saw; 0 while the server has made none, which means "ask the primary".
    pub epoch: Epoch,
    /// The primary's insert position, read in a statement of its own after the commit.
    pub position: Position,
    /// What a single-product write made of its product.
    pub product: Option<(ProductId, Version)>,
}

/// Why a text is not accepted as token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("is not one that a write has answered with; leave it away to read without its promise")]
    NotOurs,
    #[error("has a form that is not known here, as after an update; leave it away to read without its promise")]
    UnknownForm,
    #[error("names more than {max} tokens; send only the last one of each writer")]
    TooMany { max: usize },
    #[error("names a write that the database has not made; leave it away to read without its promise")]
    FromTheFuture,
    #[error("names a write that a failover may have lost; leave it away to read without its promise")]
    MayBeLost,
}

impl Token {
    /// The text in the header: base64url of the byte 1, the epoch, the position and, of a single-product write, the
    /// product's id and version, each in 8 bytes, the highest first.
    pub fn to_text(self) -> String {
        let mut bytes = Vec::with_capacity(LONG);
        bytes.push(FORM);
        bytes.extend(self.epoch.0.to_be_bytes());
        bytes.extend(self.position.0.to_be_bytes());
        if let Some((id, version)) = self.product {
            bytes.extend(id.get().to_be_bytes());
            bytes.extend(version.get().to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads one token.
    pub fn parse(text: &str) -> Result<Self, TokenFault> {
        if text.len() > TOKEN_TEXT_MAX {
            return Err(TokenFault::NotOurs);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenFault::NotOurs)?;
        match (bytes.first(), bytes.len()) {
            (Some(&FORM), SHORT) => Ok(Self::from_numbers(&bytes[1..], None)),
            (Some(&FORM), LONG) => {
                let id = signed(&bytes[17..]).try_into().map_err(|_| TokenFault::NotOurs)?;
                let version = signed(&bytes[25..]).try_into().map_err(|_| TokenFault::NotOurs)?;
                Ok(Self::from_numbers(&bytes[1..], Some((id, version))))
            }
            (Some(&FORM) | None, _) => Err(TokenFault::NotOurs),
            (Some(_), _) => Err(TokenFault::UnknownForm),
        }
    }

    /// Whether everything that is looked at from now on and that the log admits includes the write.
    ///
    /// Says nothing of what was looked at before: the write may have arrived in between.
    pub fn is_met_by_log(&self, log: &Log) -> bool {
        // Strictly: the write of an equal position may have become visible after the heartbeat's snapshot.
        self.is_of_an_epoch() && self.epoch == log.epoch() && log.position().is_some_and(|h| self.position < h)
    }

    /// Whether an answer about one product includes the write, because it was made of that product.
    pub fn is_met_by_version(&self, product: ProductId, answer: Provenance) -> bool {
        self.is_of_an_epoch()
            && self.epoch == answer.epoch
            && self.product.is_some_and(|(id, version)| product == id && answer.version >= version)
    }

    /// Whether what a database answers includes the write. Its `epoch` is the one of the answer; `read_at` was read before
    /// that, on the same connection.
    pub fn is_met_by_database(&self, database: Database, epoch: Epoch, read_at: Position) -> bool {
        self.is_of_an_epoch() && self.epoch == epoch && database.has_reached(read_at, self.position)
    }

    /// A version or position means something only within one life of the database.
    const fn is_of_an_epoch(&self) -> bool {
        self.epoch.0 > 0
    }

    fn from_numbers(bytes: &[u8], product: Option<(ProductId, Version)>) -> Self {
        Self { epoch: Epoch(unsigned(bytes)), position: Position(unsigned(&bytes[8..])), product }
    }
}

fn unsigned(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(*bytes.first_chunk().expect("the length was checked"))
}

fn signed(bytes: &[u8]) -> i64 {
    i64::from_be_bytes(*bytes.first_chunk().expect("the length was checked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lamp() -> Token {
        let product = Some((7.try_into().expect("positive"), 42.try_into().expect("not negative")));
        Token { epoch: Epoch(1_700_000_000_000), position: Position(0x16_B374_D848), product }
    }

    #[test]
    fn the_text_of_a_token_is_frozen() {
        assert_eq!(lamp().to_text(), "AQAAAYvP5WgAAAAAFrN02EgAAAAAAAAABwAAAAAAAAAq");
        assert_eq!(Token { product: None, ..lamp() }.to_text(), "AQAAAYvP5WgAAAAAFrN02Eg");
    }

    #[test]
    fn a_token_is_read_back_whole_and_no_text_is_longer_than_the_limit() {
        let largest = Token {
            epoch: Epoch(u64::MAX),
            position: Position(u64::MAX),
            product: Some((i64::MAX.try_into().expect("positive"), i64::MAX.try_into().expect("not negative"))),
        };
        for token in [lamp(), Token { product: None, ..lamp() }, largest] {
            assert_eq!(Token::parse(&token.to_text()), Ok(token));
            assert!(token.to_text().len() <= TOKEN_TEXT_MAX);
        }
    }

    #[test]
    fn what_no_write_has_answered_with_is_refused() {
        let mut broken = URL_SAFE_NO_PAD.decode(lamp().to_text()).expect("base64url");
        broken.truncate(32);
        let short = URL_SAFE_NO_PAD.encode(&broken);
        broken.extend([0; 2]);
        let long = URL_SAFE_NO_PAD.encode(&broken);
        let no_product = URL_SAFE_NO_PAD.encode([&[FORM][..], &[0; 32]].concat());
        for text in ["", "AQ", "AQ==", "not a token", "AQAAAYvP5WgAAAAAFrN02Eg=", &short, &long, &no_product] {
            assert_eq!(Token::parse(text), Err(TokenFault::NotOurs), "{text}");
        }
        assert_eq!(Token::parse("AgAAAYvP5WgAAAAAFrN02Eg"), Err(TokenFault::UnknownForm));
    }
}
