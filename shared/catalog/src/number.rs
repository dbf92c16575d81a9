//! The whole numbers of a product: its id, its version and its stock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::schema::{documented, integer};

const STOCK_MAX: i64 = i32::MAX as i64;

/// The identity of a product: a positive 64-bit integer given by the database, never used again after a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct ProductId(i64);

/// How often a product has changed: 1 when created, one more for each change, never reset.
///
/// The same number is the `ETag`, the event's version and the cache entry's version. 0 means "there is no such product".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Version(i64);

/// Units on hand: 0 to 2,147,483,647 (what a Postgres `integer` holds).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct Stock(i32);

/// Units that come in, or go out if negative: what a stock is changed by, whatever it is at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockDelta(i32);

/// A number outside the range of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an integer between {min} and {max}")]
pub struct OutOfRange {
    min: i64,
    max: i64,
}

macro_rules! bounded {
    ($name:ident, $repr:ty, $min:expr) => {
        impl $name {
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = OutOfRange;

            fn try_from(number: i64) -> Result<Self, OutOfRange> {
                let fault = OutOfRange { min: $min, max: i64::from(<$repr>::MAX) };
                if number < $min {
                    return Err(fault);
                }
                <$repr>::try_from(number).map(Self).map_err(|_| fault)
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> i64 {
                i64::from(number.0)
            }
        }

        impl FromStr for $name {
            type Err = OutOfRange;

            fn from_str(text: &str) -> Result<Self, OutOfRange> {
                let fault = OutOfRange { min: $min, max: i64::from(<$repr>::MAX) };
                let number = text.parse::<i64>().map_err(|_| fault)?;
                // `+7` and `007` would give one product several addresses.
                if number.to_string() != text {
                    return Err(fault);
                }
                number.try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(ProductId, i64, 1);
bounded!(Version, i64, 0);
bounded!(Stock, i32, 0);
bounded!(StockDelta, i32, -STOCK_MAX);

documented!(ProductId, integer(1, i64::MAX));
documented!(Version, integer(1, i64::MAX));
documented!(Stock, integer(0, STOCK_MAX));
documented!(StockDelta, integer(-STOCK_MAX, STOCK_MAX));

impl Version {
    /// The version of a product that does not exist.
    pub const ABSENT: Self = Self(0);
    /// The version of a product that was just created.
    pub const FIRST: Self = Self(1);

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_id_is_positive_and_written_in_one_way_only() {
        assert_eq!("42".parse::<ProductId>().map(ProductId::get), Ok(42));
        for text in ["0", "-1", "+42", "042", "", "4 2", "9223372036854775808", "1.0", "x"] {
            assert!(text.parse::<ProductId>().is_err(), "{text}");
        }
    }

    #[test]
    fn stock_ends_where_a_postgres_integer_ends() {
        assert!(Stock::try_from(2_147_483_647).is_ok());
        assert_eq!(
            Stock::try_from(2_147_483_648).map_err(|fault| fault.to_string()),
            Err("must be an integer between 0 and 2147483647".to_owned())
        );
        assert!(Stock::try_from(-1).is_err());
    }
}
