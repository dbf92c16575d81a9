//! What a key allows.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// One thing that a key may allow
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum Scope {
    /// To create, change and delete single products
    #[serde(rename = "products:write")]
    ProductsWrite,
    /// To change any number of products with one request
    #[serde(rename = "products:bulk")]
    ProductsBulk,
    /// To create, list and revoke keys, also such as allow more than the own one
    #[serde(rename = "keys:admin")]
    KeysAdmin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::ProductsWrite, Self::ProductsBulk, Self::KeysAdmin];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::ProductsWrite => "products:write",
            Self::ProductsBulk => "products:bulk",
            Self::KeysAdmin => "keys:admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The text is none of the scopes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of {}", Scope::ALL.map(Scope::word).join(", "))]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.word() == text).ok_or(UnknownScope)
    }
}

/// What one key allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub(crate) const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn words(self) -> Vec<String> {
        self.iter().map(|scope| scope.word().to_owned()).collect()
    }

    /// As they are stored. A word that this build does not know allows nothing here.
    pub(crate) fn of_words(words: &[String]) -> Self {
        words.iter().filter_map(|word| word.parse().ok()).collect()
    }

    fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_stored_and_sent_by_their_words() {
        let scopes: Scopes = [Scope::KeysAdmin, Scope::ProductsWrite, Scope::KeysAdmin].into_iter().collect();
        assert_eq!(scopes.words(), ["products:write", "keys:admin"]);
        assert_eq!(Scopes::of_words(&scopes.words()), scopes);
        assert_eq!(serde_json::to_string(&scopes).expect("words"), r#"["products:write","keys:admin"]"#);
        assert!(scopes.has(Scope::KeysAdmin) && !scopes.has(Scope::ProductsBulk));
    }

    #[test]
    fn a_word_of_a_later_build_allows_nothing() {
        assert!(Scopes::of_words(&["products:read".to_owned()]).is_empty());
        assert!("Products:write".parse::<Scope>().is_err_and(|fault| fault.to_string().contains("keys:admin")));
    }
}
