//! The two numbers that order the log: an epoch, and a position in the write-ahead log within it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One unbroken life of the database and its stream, numbered upwards in milliseconds of the Unix clock.
///
/// A higher epoch voids every entry, page, token and floor of a lower one. 0 means that none was made yet.
/// Stays below 2^53, so that Redis' Lua and JSON readers hold it exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Epoch(pub u64);

/// A position in the primary's write-ahead log (LSN), in bytes; comparable within one epoch only.
///
/// Written as Postgres writes a `pg_lsn`: `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position(pub u64);

/// A text that is no epoch or no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}")]
pub struct NotANumber {
    kind: &'static str,
    text: String,
}

impl FromStr for Epoch {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        text.parse().map(Self).map_err(|_| NotANumber { kind: "epoch", text: text.to_owned() })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Position {
    type Err = NotANumber;

    fn from_str(text: &str) -> Result<Self, NotANumber> {
        let half = |text: &str| u32::from_str_radix(text, 16).map(u64::from).ok();
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| NotANumber { kind: "position", text: text.to_owned() })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = NotANumber;

            fn try_from(text: String) -> Result<Self, NotANumber> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(number: $name) -> String {
                number.to_string()
            }
        }
    };
}

as_text!(Epoch);
as_text!(Position);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_and_written_as_postgres_does() {
        assert_eq!("16/B374D848".parse(), Ok(Position(0x16_B374_D848)));
        assert_eq!(Position(0x16_0000_0848).to_string(), "16/848");
        for text in ["", "16", "16/", "/1", "x/1", "100000000/0", "1/100000000"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
