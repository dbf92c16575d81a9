//! What a list is asked for: words, filters, order, length and where to begin, read once from the query string.

use cache::PageKey;
use catalog::Currency;
use form_urlencoded::Serializer;
use sha2::{Digest, Sha256};

use super::cursor::{self, Binding, LastSeen};
use super::fields::Fields;
use super::filters::Filters;
use super::parameters::{Parameters, QueryFault};
use super::tally::Wanted;

/// One answer stays small enough to be made and sent at once, also with long descriptions.
pub(crate) const LIMIT_MAX: u32 = 100;
/// A screenful of products.
pub(crate) const LIMIT_DEFAULT: u32 = 20;
/// `page` reads and throws away all rows before it, so its reach is bounded; a cursor's is not.
pub(crate) const PAGED_ROWS_MAX: u32 = 10_000;
/// Longer than any search that a person types.
pub(crate) const WORDS_LENGTH_MAX: usize = 200;

const LIST_PARAMETERS: [&str; 13] = [
    "brand",
    "category",
    "in_stock",
    "min_price",
    "max_price",
    "currency",
    "sort",
    "limit",
    "cursor",
    "page",
    "count",
    "facets",
    "fields",
];

/// What is asked for, valid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PageQuery {
    /// What is searched for; a plain list has none.
    pub(crate) words: Option<Words>,
    pub(crate) filters: Filters,
    pub(crate) sort: Sort,
    pub(crate) limit: u32,
    pub(crate) begin: Begin,
    pub(crate) wanted: Wanted,
    /// Whether the words are still being typed, so that even a whole one may be the beginning of another.
    pub(crate) is_typing: bool,
    /// What each answer holds of its products; all if nothing is said. Pages are kept whole.
    pub(crate) fields: Option<Fields>,
}

/// The text of a search: 1 to 200 characters without control characters, one space between words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(String);

/// The order of a list; equal keys stand in the order of their ids, in the same direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Best match first; only of a search.
    Relevance,
    Id,
    Name,
    Price,
    PriceDescending,
    NewestFirst,
}

/// Where in the list a page begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Begin {
    /// At this page of `limit` rows, counted from 1.
    AtPage(u32),
    After(LastSeen),
}

impl PageQuery {
    /// Reads the query of a plain list. `default_currency` holds where prices are compared and no currency is named.
    pub(crate) fn list(pairs: Vec<(String, String)>, default_currency: Currency) -> Result<Self, QueryFault> {
        let mut parameters = Parameters::new(&LIST_PARAMETERS, pairs)?;
        let sort = parameters.read("sort", |text| Sort::among(&Sort::LISTED, &text));
        Self::read(parameters, None, sort.unwrap_or(Sort::Id), default_currency)
    }

    /// Reads the query of a search.
    pub(crate) fn search(pairs: Vec<(String, String)>, default_currency: Currency) -> Result<Self, QueryFault> {
        let allowed: Vec<&str> = ["q"].into_iter().chain(LIST_PARAMETERS).collect();
        let mut parameters = Parameters::new(&allowed, pairs)?;
        let words = parameters.require("q", Words::try_from);
        let sort = parameters.read("sort", |text| Sort::among(&Sort::SEARCHED, &text));
        Self::read(parameters, words, sort.unwrap_or(Sort::Relevance), default_currency)
    }

    /// The best matches of words that are being typed, without anything else.
    pub(crate) fn typing(words: Words, limit: u32) -> Self {
        let (filters, wanted) = (Filters::default(), Wanted::default());
        let begin = Begin::AtPage(1);
        Self { words: Some(words), filters, sort: Sort::Relevance, limit, begin, wanted, is_typing: true, fields: None }
    }

    fn read(
        mut parameters: Parameters,
        words: Option<Words>,
        sort: Sort,
        default_currency: Currency,
    ) -> Result<Self, QueryFault> {
        let is_by_price = matches!(sort, Sort::Price | Sort::PriceDescending);
        let filters = Filters::read(&mut parameters, is_by_price, default_currency);
        let limit = parameters.read("limit", |text| whole(&text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
        let wanted = Wanted::read(&mut parameters, filters.currency.unwrap_or(default_currency));
        let fields = parameters.read("fields", Fields::try_from);
        let page = parameters.read("page", |text| whole(&text, PAGED_ROWS_MAX));
        let cursor = parameters.take("cursor");
        parameters.finish()?;
        let mut query = Self { words, filters, sort, limit, begin: Begin::AtPage(1), wanted, is_typing: false, fields };
        query.begin = match (page, cursor) {
            (Some(_), Some(_)) => return Err(malformed("query parameters page and cursor exclude each other")),
            (None, Some(cursor)) => Begin::After(
                cursor::decode(&cursor, sort, query.binding())
                    .map_err(|fault| malformed(format!("query parameter cursor {fault}")))?,
            ),
            (page, None) => Begin::AtPage(reachable(page.unwrap_or(1), limit)?),
        };
        Ok(query)
    }

    /// Whether the page is counted from the beginning of the list, past which it does not know what stands there.
    pub(crate) const fn is_counted(&self) -> bool {
        matches!(self.begin, Begin::AtPage(2..))
    }

    /// The cursor of the page after `last`.
    pub(crate) fn cursor_after(&self, last: &LastSeen) -> String {
        cursor::encode(last, self.binding())
    }

    /// The address of another page of the same list, as RFC 8288 writes it.
    pub(crate) fn link(&self, relation: &str, begin: (&str, &str), fields: Option<&Fields>) -> String {
        let path = if self.words.is_some() { "/products/search" } else { "/products" };
        let mut serializer = self.serialize_windowed();
        serializer.extend_pairs(fields.map(|fields| ("fields", fields.parameter())));
        let query = serializer.append_pair(begin.0, begin.1).finish();
        format!("<{path}?{query}>; rel=\"{relation}\"")
    }

    /// What ties a cursor to the list that it was made for: everything that decides membership and order.
    fn binding(&self) -> Binding {
        let digest = Sha256::digest(self.serialize().finish());
        *digest.first_chunk().expect("a digest is longer")
    }

    /// What the page is kept under: equal for equal queries.
    pub(crate) fn key(&self) -> PageKey {
        let digest = Sha256::digest(self.to_text());
        *digest.first_chunk().expect("a digest is longer")
    }

    /// Everything that the page depends on, equal for equal queries.
    pub(crate) fn to_text(&self) -> String {
        let mut serializer = self.serialize_windowed();
        match &self.begin {
            Begin::AtPage(page) => serializer.append_pair("page", &page.to_string()),
            Begin::After(last) => serializer.append_pair("cursor", &self.cursor_after(last)),
        };
        // Not the same on every node, if it is the service's own.
        if let Some(currency) = self.wanted.price {
            serializer.append_pair("priced_in", &currency.to_string());
        }
        if self.is_typing {
            serializer.append_pair("typing", "true");
        }
        serializer.finish()
    }

    /// Everything but where the page begins.
    fn serialize_windowed(&self) -> Serializer<'static, String> {
        let mut serializer = self.serialize();
        serializer.append_pair("limit", &self.limit.to_string()).extend_pairs(self.wanted.parameters());
        serializer
    }

    /// Everything but the window as query parameters, equal for equal lists.
    fn serialize(&self) -> Serializer<'static, String> {
        let mut serializer = Serializer::new(String::new());
        if let Some(Words(words)) = &self.words {
            serializer.append_pair("q", words);
        }
        serializer.extend_pairs(self.filters.parameters()).append_pair("sort", self.sort.word());
        serializer
    }
}

impl Sort {
    pub(crate) const LISTED: [Self; 5] = [Self::Id, Self::Name, Self::Price, Self::PriceDescending, Self::NewestFirst];
    pub(crate) const SEARCHED: [Self; 6] =
        [Self::Relevance, Self::Id, Self::Name, Self::Price, Self::PriceDescending, Self::NewestFirst];

    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Relevance => "relevance",
            Self::Id => "id",
            Self::Name => "name",
            Self::Price => "price",
            Self::PriceDescending => "-price",
            Self::NewestFirst => "-created_at",
        }
    }

    fn among(sorts: &[Self], text: &str) -> Result<Self, String> {
        sorts.iter().copied().find(|sort| sort.word() == text).ok_or_else(|| {
            let words: Vec<&str> = sorts.iter().map(|sort| sort.word()).collect();
            format!("must be one of {}", words.join(", "))
        })
    }
}

impl Words {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Words {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let has = text.chars().count();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() || has > WORDS_LENGTH_MAX {
            return Err(format!(
                "must have 1 to {WORDS_LENGTH_MAX} characters that are not all white space, has {has}"
            ));
        }
        if text.chars().any(char::is_control) {
            return Err("must not contain control characters".to_owned());
        }
        Ok(Self(words))
    }
}

/// An integer from 1 to `max`, written in one way only.
pub(crate) fn whole(text: &str, max: u32) -> Result<u32, String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let number = text.parse().ok().filter(|number| is_plain && (1..=max).contains(number));
    number.ok_or_else(|| format!("must be an integer between 1 and {max}"))
}

/// The page, if it is not too deep.
fn reachable(page: u32, limit: u32) -> Result<u32, QueryFault> {
    // Neither is above 10,000, so their product does not overflow.
    if page * limit <= PAGED_ROWS_MAX {
        return Ok(page);
    }
    Err(malformed(format!(
        "query parameter page reaches the first {PAGED_ROWS_MAX} products, so with a limit of {limit} it must be at most \
         {}; use cursor to go further",
        PAGED_ROWS_MAX / limit
    )))
}

fn malformed(detail: impl Into<String>) -> QueryFault {
    QueryFault::Malformed(detail.into())
}

#[cfg(test)]
mod tests;
