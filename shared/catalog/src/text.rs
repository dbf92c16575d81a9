//! The texts of a product, each with its own limit.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not allowed where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    #[error("must have 1 to {max} characters, has {has}")]
    Length { max: usize, has: usize },
    #[error("must not begin or end with white space")]
    Padded,
    #[error("must not contain control characters")]
    Control,
    #[error("{0}")]
    Form(&'static str),
}

/// What every text must satisfy: a bounded length in characters, no padding and no control characters.
fn check(text: &str, max: usize, is_allowed_control: fn(char) -> bool) -> Result<(), TextFault> {
    let has = text.chars().count();
    if has == 0 || has > max {
        return Err(TextFault::Length { max, has });
    }
    // U+FEFF is white space to the readers of the published patterns (ECMA 262), though not to Unicode.
    let is_padding = |c: char| c.is_whitespace() || c == '\u{FEFF}';
    if text.starts_with(is_padding) || text.ends_with(is_padding) {
        return Err(TextFault::Padded);
    }
    if text.chars().any(|c| c.is_control() && !is_allowed_control(c)) {
        return Err(TextFault::Control);
    }
    Ok(())
}

macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $max:literal, $pattern:literal, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        crate::schema::documented!($name, crate::schema::string($max, $pattern));

        impl TryFrom<String> for $name {
            type Error = TextFault;

            fn try_from(text: String) -> Result<Self, TextFault> {
                let check: fn(&str) -> Result<(), TextFault> = $check;
                check(&text)?;
                Ok(Self(text))
            }
        }

        impl FromStr for $name {
            type Err = TextFault;

            fn from_str(text: &str) -> Result<Self, TextFault> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> String {
                text.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text! {
    /// The shop's own code of a product, unique among products that are not deleted: 1 to 64 characters.
    ///
    /// Letters, digits and `. _ / -` only, so that it can stand in a comma-separated query parameter.
    Sku, 64, r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", |text| {
        check(text, 64, |_| false)?;
        let may_begin = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let may_follow = text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
        if may_begin && may_follow {
            Ok(())
        } else {
            Err(TextFault::Form("must begin with a letter or digit and hold only A-Z a-z 0-9 . _ / -"))
        }
    }
}

text! {
    /// What a product is called: 1 to 500 characters on one line.
    Name, 500, r"^[^\s\u0000-\u001F\u007F-\u009F]([^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F])?$", |text| check(text, 500, |_| false)
}

text! {
    /// Prose about a product: 1 to 10,000 characters; lines and tabs are allowed.
    ///
    /// The limit keeps the largest event well below the 128 KiB that the stream takes in one message.
    Description, 10_000, r"^[^\s\u0000-\u001F\u007F-\u009F]([^\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F])?$", |text| {
        check(text, 10_000, |c| matches!(c, '\n' | '\r' | '\t'))
    }
}

text! {
    /// Who makes a product: 1 to 100 characters.
    Brand, 100, r"^[^\s\u0000-\u001F\u007F-\u009F]([^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F])?$", |text| check(text, 100, |_| false)
}

text! {
    /// A path in the category tree, from the root to the leaf, such as `lighting/lamps/desk`: 1 to 200 characters.
    ///
    /// No step may be empty: a path neither begins nor ends with `/`, nor holds `//`.
    Category, 200, r"^[^/\s\u0000-\u001F\u007F-\u009F]([^/\u0000-\u001F\u007F-\u009F]|/(?!/))*(?<![/\s])$", |text| {
        check(text, 200, |_| false)?;
        if text.split('/').any(str::is_empty) {
            return Err(TextFault::Form("must be a path without empty steps, such as lighting/lamps"));
        }
        Ok(())
    }
}

text! {
    /// Where a product's picture is: an `http`, `https` or site-relative (`/…`) URL of 1 to 2,048 ASCII characters.
    ImageUrl, 2_048, r"^(https?://[!-~]+|/[!-~]*)$", |text| {
        check(text, 2_048, |_| false)?;
        let has_host = ["http://", "https://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if (has_host || text.starts_with('/')) && text.chars().all(|c| c.is_ascii_graphic()) {
            Ok(())
        } else {
            Err(TextFault::Form("must be an http:// or https:// URL or a path beginning with /, in ASCII without spaces"))
        }
    }
}

text! {
    /// Why a product was changed, for those who read its history: 1 to 200 characters on one line.
    Reason, 200, r"^[^\s\u0000-\u001F\u007F-\u009F]([^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F])?$", |text| check(text, 200, |_| false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: FromStr<Err = TextFault>>(text: &str) -> String {
        text.parse::<T>().err().map(|fault| fault.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_text_says_what_its_limit_is() {
        assert_eq!(refusal::<Name>(&"x".repeat(501)), "must have 1 to 500 characters, has 501");
        assert_eq!(refusal::<Name>(""), "must have 1 to 500 characters, has 0");
        assert_eq!(refusal::<Name>(&"é".repeat(500)), "");
    }

    #[test]
    fn padding_and_control_characters_are_refused() {
        assert_eq!(refusal::<Name>(" lamp"), "must not begin or end with white space");
        assert_eq!(refusal::<Name>("la\u{0}mp"), "must not contain control characters");
        assert_eq!(refusal::<Name>("la\nmp"), "must not contain control characters");
        assert_eq!(refusal::<Description>("la\nmp"), "");
        assert_eq!(refusal::<Description>("la\u{0}mp"), "must not contain control characters");
    }

    #[test]
    fn a_sku_can_stand_in_a_comma_separated_list() {
        for good in ["1399", "DEMO-000001", "a.b/c_d-e"] {
            assert_eq!(refusal::<Sku>(good), "", "{good}");
        }
        for bad in ["a,b", "a b", "-a", "ä", "a\"b"] {
            assert!(!refusal::<Sku>(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn a_category_path_has_no_empty_step() {
        assert_eq!(refusal::<Category>("lighting/lamps/desk"), "");
        for bad in ["/lighting", "lighting/", "lighting//desk"] {
            assert!(!refusal::<Category>(bad).is_empty(), "{bad}");
        }
    }

    #[test]
    fn an_image_is_on_the_web_or_on_this_site() {
        for good in ["http://a.example/x.jpg", "https://a.example", "/media/1.jpg"] {
            assert_eq!(refusal::<ImageUrl>(good), "", "{good}");
        }
        for bad in ["ftp://a.example", "javascript:alert(1)", "http://", "x.jpg", "/a b"] {
            assert!(!refusal::<ImageUrl>(bad).is_empty(), "{bad}");
        }
    }
}
