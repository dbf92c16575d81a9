//! Money: a decimal amount without floating point, and the currency it is in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::schema::{documented, string, string_or_number};

/// The largest amount in minor units: 15 digits stay exact in every JSON reader (below 2^53).
const MINOR_MAX: i64 = 999_999_999_999_999;

/// More digits behind the point than any currency of ISO 4217 has.
const SCALE_MAX: usize = 4;

/// A decimal amount of money, not negative: `units / 10^scale`, at most 999,999,999,999,999 minor units.
///
/// Read from text such as `19.99`; written with exactly the digits its currency has once [`Price::within`] has
/// brought it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Price {
    units: i64,
    scale: u8,
}

/// As Rust reads it, but for the limit in minor units, which depends on the currency.
const PATTERN: &str = r"^(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?$";

documented!(Price, string(16, PATTERN));

/// How a client may write a [`Price`]: as string, or as number, which is read from its text and never as a float.
pub(crate) struct Amount;

documented!(Amount, string_or_number(string(16, PATTERN)));

/// A text or number that is no price here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PriceFault {
    #[error("must be a decimal amount that is not negative, such as \"19.99\"")]
    Form,
    #[error("must have at most {allowed} decimals in {currency}")]
    Decimals { allowed: u8, currency: Currency },
    #[error("must have no more decimals than its currency, so at most {SCALE_MAX}")]
    TooFine,
    #[error("must be at most 999999999999999 minor units")]
    TooLarge,
}

impl Price {
    /// The largest amount in minor units, of whatever currency.
    pub const MINOR_MAX: i64 = MINOR_MAX;

    /// The amount of `minor` units of `currency` (cents for USD, yen for JPY). `None` outside 0 to 999,999,999,999,999.
    pub fn from_minor(minor: i64, currency: Currency) -> Option<Self> {
        (0..=MINOR_MAX).contains(&minor).then_some(Self { units: minor, scale: currency.exponent() })
    }

    /// The same amount with exactly as many decimals as `currency` has.
    pub fn within(self, currency: Currency) -> Result<Self, PriceFault> {
        let allowed = currency.exponent();
        if self.scale > allowed {
            return Err(PriceFault::Decimals { allowed, currency });
        }
        let factor = 10_i64.pow(u32::from(allowed - self.scale));
        let units = self.units.checked_mul(factor).filter(|units| *units <= MINOR_MAX).ok_or(PriceFault::TooLarge)?;
        Ok(Self { units, scale: allowed })
    }

    /// The amount in minor units of the currency that [`Price::within`] brought it to.
    pub const fn minor(self) -> i64 {
        self.units
    }
}

impl FromStr for Price {
    type Err = PriceFault;

    fn from_str(text: &str) -> Result<Self, PriceFault> {
        let (whole, decimals) = match text.split_once('.') {
            Some((_, "")) => return Err(PriceFault::Form),
            Some((whole, decimals)) => (whole, decimals),
            None => (text, ""),
        };
        let are_digits = [whole, decimals].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()));
        let has_needless_zero = whole.len() > 1 && whole.starts_with('0');
        if whole.is_empty() || !are_digits || has_needless_zero {
            return Err(PriceFault::Form);
        }
        if decimals.len() > SCALE_MAX {
            return Err(PriceFault::TooFine);
        }
        let digits = format!("{whole}{decimals}");
        let units = digits.parse::<i64>().map_err(|_| PriceFault::TooLarge)?;
        if units > MINOR_MAX {
            return Err(PriceFault::TooLarge);
        }
        let scale = u8::try_from(decimals.len()).expect("there are at most four decimals");
        Ok(Self { units, scale })
    }
}

impl TryFrom<String> for Price {
    type Error = PriceFault;

    fn try_from(text: String) -> Result<Self, PriceFault> {
        text.parse()
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scale == 0 {
            return self.units.fmt(f);
        }
        let factor = 10_i64.pow(u32::from(self.scale));
        write!(f, "{}.{:0width$}", self.units / factor, self.units % factor, width = usize::from(self.scale))
    }
}

impl From<Price> for String {
    fn from(price: Price) -> String {
        price.to_string()
    }
}

/// A currency of ISO 4217 that has minor units, as its three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency(iso_currency::Currency);

documented!(Currency, string(3, r"^[A-Z]{3}$"));

/// A text that names no currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 currency code in capital letters, such as USD")]
pub struct UnknownCurrency;

impl Currency {
    /// How many decimals an amount has: 2 for USD, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u8 {
        let exponent = self.0.exponent().expect("a currency without minor units is refused when it is read");
        u8::try_from(exponent).expect("no currency has more than four decimals")
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self(iso_currency::Currency::USD)
    }
}

impl FromStr for Currency {
    type Err = UnknownCurrency;

    fn from_str(text: &str) -> Result<Self, UnknownCurrency> {
        let currency = iso_currency::Currency::from_code(text).ok_or(UnknownCurrency)?;
        currency.exponent().ok_or(UnknownCurrency)?;
        Ok(Self(currency))
    }
}

impl TryFrom<String> for Currency {
    type Error = UnknownCurrency;

    fn try_from(text: String) -> Result<Self, UnknownCurrency> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().expect("the test names a currency")
    }

    #[test]
    fn an_amount_gets_the_decimals_of_its_currency() {
        let written = |text: &str, code| {
            text.parse::<Price>().and_then(|price| price.within(currency(code))).map(|p| p.to_string())
        };
        assert_eq!(written("19.99", "USD"), Ok("19.99".to_owned()));
        assert_eq!(written("19.9", "USD"), Ok("19.90".to_owned()));
        assert_eq!(written("0", "USD"), Ok("0.00".to_owned()));
        assert_eq!(written("1500", "JPY"), Ok("1500".to_owned()));
        assert_eq!(written("1.5", "KWD"), Ok("1.500".to_owned()));
        assert_eq!(written("19.999", "USD"), Err(PriceFault::Decimals { allowed: 2, currency: currency("USD") }));
        assert_eq!(written("1.5", "JPY"), Err(PriceFault::Decimals { allowed: 0, currency: currency("JPY") }));
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in ["", ".5", "5.", "-1", "+1", "1e3", "1,5", "01", "1.2.3", " 1", "NaN", "١"] {
            assert_eq!(text.parse::<Price>(), Err(PriceFault::Form), "{text}");
        }
        assert_eq!("1.23456".parse::<Price>(), Err(PriceFault::TooFine));
        assert_eq!("9999999999999999".parse::<Price>(), Err(PriceFault::TooLarge));
        assert_eq!(
            "99999999999999.9".parse::<Price>().and_then(|p| p.within(currency("KWD"))),
            Err(PriceFault::TooLarge)
        );
    }

    #[test]
    fn only_currencies_with_minor_units_are_known() {
        assert!("EUR".parse::<Currency>().is_ok());
        for code in ["eur", "XAU", "XXX", "ZZZ", ""] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }
}
