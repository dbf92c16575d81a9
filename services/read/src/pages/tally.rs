//! What is told of all products of a list, beside a page of them: how many there are, and how many of each brand, category and
//! price.
//!
//! Architecture invariant: what is exact is followed through every change; an estimate is left as it was.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use catalog::{Currency, Price, ProductId, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::extent::Listed;
use super::filters::Filters;
use super::parameters::Parameters;

/// A list of more products than these is counted by estimate: to count it would take longer than to answer its page.
pub(crate) const COUNTED_MAX: u64 = 50_000;
/// The same where an estimate will do.
pub(crate) const COUNTED_MAX_ESTIMATED: u64 = 1_000;
/// Values of a facet that are kept; of a list that has more, changes are not followed.
pub(crate) const VALUES_KEPT: usize = 1_000;
/// Values of a facet that are answered: as many as anybody reads.
const VALUES_MAX: usize = 50;
/// What a value takes in a map beside its text.
const VALUE_BYTES: u64 = 64;

/// How products are to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    /// Up to [`COUNTED_MAX`].
    Exact,
    Estimated,
}

/// What is to be told of all products of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) count: Option<Count>,
    pub(crate) brand: bool,
    pub(crate) category: bool,
    /// The currency whose prices are counted.
    pub(crate) price: Option<Currency>,
}

/// What is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) total: Option<Total>,
    pub(crate) brand: Option<Counts<String>>,
    /// By the part of the category that reaches one step below the filter's.
    pub(crate) category: Option<Counts<String>>,
    /// By the beginning of the band, in minor units.
    pub(crate) price: Option<Counts<i64>>,
    /// Changes that the snapshot showed before the stream held them: counted already, whenever they are heard.
    pub(crate) unheard: Vec<(ProductId, Version)>,
    /// Whether there were more of these.
    pub(crate) is_overrun: bool,
}

/// How many products a list has
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Total {
    pub(crate) count: u64,
    /// Whether they were counted; otherwise it is what the database expects by its statistics.
    pub(crate) is_exact: bool,
}

/// How many products have each value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts<V: Ord> {
    pub(crate) of: BTreeMap<V, u64>,
    /// Whether these are all values that there are.
    pub(crate) is_whole: bool,
}

impl<V: Ord> Default for Counts<V> {
    fn default() -> Self {
        Self { of: BTreeMap::new(), is_whole: true }
    }
}

/// How many products of the list have each value, the most usual first
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facets {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50, nullable = false)]
    pub(crate) brand: Option<Vec<FacetValue>>,
    /// The next step below `category`, or the first step if that was not given; each can be sent as `category`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50, nullable = false)]
    pub(crate) category: Option<Vec<FacetValue>>,
    /// Bands of prices in `currency` that have products, the lowest first
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) price: Option<Vec<PriceBand>>,
}

/// A value, and how many products have it
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FacetValue {
    pub(crate) value: String,
    pub(crate) count: u64,
}

/// A band of prices, both ends included, and how many products have one
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceBand {
    pub(crate) min_price: Price,
    pub(crate) max_price: Price,
    pub(crate) count: u64,
}

impl Wanted {
    /// `currency` is that in which prices are counted.
    pub(super) fn read(parameters: &mut Parameters, currency: Currency) -> Self {
        let count = parameters.read("count", |text| match text.as_str() {
            "exact" => Ok(Count::Exact),
            "estimated" => Ok(Count::Estimated),
            _ => Err("must be exact or estimated"),
        });
        let facets = parameters.read("facets", |text| {
            let mut facets = Self::default();
            for facet in text.split(',') {
                match facet {
                    "brand" => facets.brand = true,
                    "category" => facets.category = true,
                    "price" => facets.price = Some(currency),
                    _ => return Err("must be one or more of brand, category, price, separated by commas"),
                }
            }
            Ok(facets)
        });
        Self { count, ..facets.unwrap_or_default() }
    }

    /// As query parameters, equal for equal wishes. The currency is among the filters, or the service's own.
    pub(super) fn parameters(self) -> impl Iterator<Item = (&'static str, String)> {
        let count = self.count.map(|count| match count {
            Count::Exact => "exact",
            Count::Estimated => "estimated",
        });
        let facets = [(self.brand, "brand"), (self.category, "category"), (self.price.is_some(), "price")];
        let facets: Vec<&str> =
            facets.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, facet)| facet).collect();
        let facets = (!facets.is_empty()).then(|| facets.join(","));
        [("count", count.map(str::to_owned)), ("facets", facets)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }

    pub(crate) const fn is_nothing(self) -> bool {
        self.count.is_none() && !self.has_facets()
    }

    pub(crate) const fn has_facets(self) -> bool {
        self.brand || self.category || self.price.is_some()
    }
}

impl Tally {
    /// Of a list without products.
    pub(super) fn of_nothing(wanted: Wanted) -> Self {
        Self {
            total: wanted.count.map(|_| Total { count: 0, is_exact: true }),
            brand: wanted.brand.then(Counts::default),
            category: wanted.category.then(Counts::default),
            price: wanted.price.map(|_| Counts::default()),
            ..Self::default()
        }
    }

    /// Whether a change from the one to the other, each absent unless it stands in the list, changes what is told.
    pub(super) fn is_touched(&self, wanted: Wanted, filters: &Filters, [was, is]: [Option<&Listed<'_>>; 2]) -> bool {
        self.total.is_some_and(|total| total.is_exact) && was.is_some() != is.is_some()
            || Values::of(wanted, filters, was) != Values::of(wanted, filters, is)
    }

    /// Puts such a change in; whether what there is to tell is still known.
    pub(super) fn follow(&mut self, wanted: Wanted, filters: &Filters, [was, is]: [Option<&Listed<'_>>; 2]) -> bool {
        if let Some(total) = self.total.as_mut().filter(|total| total.is_exact) {
            total.count = (total.count + u64::from(is.is_some())).saturating_sub(u64::from(was.is_some()));
        }
        let (from, to) = (Values::of(wanted, filters, was), Values::of(wanted, filters, is));
        let owned = |value: Option<&str>| value.map(str::to_owned);
        shift(&mut self.brand, owned(from.brand), owned(to.brand))
            && shift(&mut self.category, owned(from.category), owned(to.category))
            && shift(&mut self.price, from.price, to.price)
    }

    pub(super) fn is_estimate(&self) -> bool {
        self.total.is_some_and(|total| !total.is_exact)
    }

    /// As it is answered.
    pub(super) fn facets(&self, wanted: Wanted) -> Option<Facets> {
        let price = self.price.as_ref().zip(wanted.price).map(|(counts, currency)| {
            let bounds = bands(currency);
            counts.of.iter().filter_map(|(from, count)| price_band(&bounds, *from, *count, currency)).collect()
        });
        let facets = Facets {
            brand: self.brand.as_ref().map(most_usual),
            category: self.category.as_ref().map(most_usual),
            price,
        };
        wanted.has_facets().then_some(facets)
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> u64 {
        let texts = [&self.brand, &self.category].into_iter().flatten().flat_map(|counts| counts.of.keys());
        texts.map(|value| value.len() as u64 + VALUE_BYTES).sum::<u64>() + self.unheard.len() as u64 * VALUE_BYTES
    }
}

/// What a product counts for in each facet that is wanted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Values<'a> {
    brand: Option<&'a str>,
    category: Option<&'a str>,
    price: Option<i64>,
}

impl<'a> Values<'a> {
    fn of(wanted: Wanted, filters: &Filters, listed: Option<&Listed<'a>>) -> Self {
        let Some(listed) = listed else { return Self::default() };
        Self {
            brand: listed.brand.filter(|_| wanted.brand),
            category: listed.category.filter(|_| wanted.category).and_then(|path| step(filters, path)),
            price: wanted
                .price
                .filter(|currency| *currency == listed.currency)
                .map(|currency| band_of(listed.price, currency)),
        }
    }
}

/// The part of a category that reaches one step below the filter's.
fn step<'a>(filters: &Filters, path: &'a str) -> Option<&'a str> {
    let begin = filters.category.as_ref().map_or(0, |category| category.0.as_str().len() + 1);
    let rest = path.get(begin..)?;
    Some(rest.find('/').map_or(path, |end| &path[..begin + end]))
}

/// Where bands of prices begin, in minor units: 0, and then 1, 2 and 5 of each power of ten of the currency's unit.
pub(crate) fn bands(currency: Currency) -> Vec<i64> {
    let unit = 10_i64.pow(u32::from(currency.exponent()));
    let bounds = (0..).map(|power| unit.checked_mul(10_i64.checked_pow(power)?)).map_while(|decade| decade);
    let bounds = bounds.flat_map(|decade| [1, 2, 5].map(|step| decade.saturating_mul(step)));
    [0].into_iter().chain(bounds.take_while(|bound| Price::from_minor(*bound, currency).is_some())).collect()
}

/// The beginning of the band of a price in minor units, which is not negative.
fn band_of(price: i64, currency: Currency) -> i64 {
    let mut decade = 10_i64.pow(u32::from(currency.exponent()));
    if price < decade {
        return 0;
    }
    while decade <= price / 10 {
        decade *= 10;
    }
    [5, 2].into_iter().map(|step| step * decade).find(|bound| *bound <= price).unwrap_or(decade)
}

fn price_band(bounds: &[i64], from: i64, count: u64, currency: Currency) -> Option<PriceBand> {
    let next = bounds.iter().find(|bound| **bound > from);
    let to = next.map_or(Price::MINOR_MAX, |next| next - 1);
    let (min_price, max_price) = (Price::from_minor(from, currency)?, Price::from_minor(to, currency)?);
    Some(PriceBand { min_price, max_price, count })
}

/// Counts a product for another value; whether the counts are still known.
fn shift<V: Ord>(counts: &mut Option<Counts<V>>, from: Option<V>, to: Option<V>) -> bool {
    let Some(counts) = counts.as_mut().filter(|_| from != to) else { return true };
    if let Some(from) = from {
        match counts.of.get_mut(&from) {
            Some(count @ 2..) => *count -= 1,
            Some(_) => drop(counts.of.remove(&from)),
            None => return false,
        }
    }
    if let Some(to) = to {
        *counts.of.entry(to).or_default() += 1;
    }
    counts.is_whole
}

/// The values that most products have, the most usual first.
fn most_usual(counts: &Counts<String>) -> Vec<FacetValue> {
    let mut values: Vec<(&String, u64)> = counts.of.iter().map(|(value, count)| (value, *count)).collect();
    values.sort_by_key(|(value, count)| (Reverse(*count), *value));
    values.truncate(VALUES_MAX);
    values.into_iter().map(|(value, count)| FacetValue { value: value.clone(), count }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_of_a_price_is_the_last_that_begins_at_or_below_it() {
        for currency in ["USD", "JPY", "KWD"].map(|code| code.parse().expect("a currency")) {
            let bounds = bands(currency);
            let near = bounds.iter().flat_map(|bound| [bound - 1, *bound, bound + 1]).chain([Price::MINOR_MAX]);
            for price in near.filter(|price| *price >= 0) {
                let below = bounds.iter().rfind(|bound| **bound <= price);
                assert_eq!(Some(&band_of(price, currency)), below, "{price} {currency}");
            }
        }
    }
}
