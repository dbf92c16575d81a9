//! The query parameters of lists and searches, as the document describes them; read by [`PageQuery`](crate::pages).

use catalog::{Brand, Category, Currency, Price};
use serde_json::json;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Required, Schema};
use utoipa::{IntoParams, PartialSchema};

use crate::pages::{COUNTED_MAX, LIMIT_DEFAULT, LIMIT_MAX, PAGED_ROWS_MAX, Sort, WORDS_LENGTH_MAX};

/// What a plain list takes.
pub(crate) struct ListParams;

/// What a search takes.
pub(crate) struct SearchParams;

impl IntoParams for ListParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        shared(&Sort::LISTED)
    }
}

impl IntoParams for SearchParams {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let words = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(WORDS_LENGTH_MAX))
            // No control characters, and something that is no white space.
            .pattern(Some(
                r"^[^\u0000-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u001F\u007F-\u009F]*$",
            ));
        let mut q = parameter(
            "q",
            "Words that a product has in its name, sku, brand, category or description, in any order, as they stand or by \
             their English stem. Where fewer than ten products have all of them whole, the last one may also be the \
             beginning of a longer word; where fewer than ten have them like that, those follow that have some, the rarer \
             words, and a word that no product has stands for the most usual one that differs by a letter. Characters that \
             are no letter or digit only part words; of more than sixteen words the first are taken.",
            words,
        );
        q.required = Required::True;
        [q].into_iter().chain(shared(&Sort::SEARCHED)).collect()
    }
}

fn shared(sorts: &[Sort]) -> Vec<Parameter> {
    vec![
        parameter("brand", "Only products of exactly this brand.", Brand::schema()),
        parameter("category", "Only products of this category and of those below it in the tree.", Category::schema()),
        parameter(
            "in_stock",
            "`true`: only products with units on hand. `false`: only products without.",
            ObjectBuilder::new().schema_type(Type::Boolean),
        ),
        parameter("min_price", "Only products of at least this price in `currency`.", Price::schema()),
        parameter("max_price", "Only products of at most this price in `currency`.", Price::schema()),
        parameter(
            "currency",
            "Only products with a price in this currency (ISO 4217). Prices are compared within one currency only: \
             where `min_price`, `max_price` or a sort by price is given and this is not, it is the service's default \
             currency (USD unless set otherwise), and products with a price in another currency are not in the list.",
            Currency::schema(),
        ),
        parameter("sort", SORT, sort(sorts)),
        parameter("limit", "Most products in the answer.", whole(LIMIT_MAX).default(Some(json!(LIMIT_DEFAULT)))),
        parameter(
            "cursor",
            "The `next_cursor` of the page before, with all other parameters but `limit` as they were. The pages that \
             follow one another like this hold each product once, also while others are added and removed. Not \
             together with `page`.",
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[A-Za-z0-9_-]+$")),
        ),
        parameter(
            "page",
            &format!(
                "The page of `limit` products to answer, counted from 1, within the first {PAGED_ROWS_MAX} products; \
                 `cursor` goes further and is faster. Not together with `cursor`."
            ),
            whole(PAGED_ROWS_MAX).default(Some(json!(1))),
        ),
        parameter(
            "count",
            &format!(
                "Tell in `total` how many products the whole list has. `exact`: counted up to {COUNTED_MAX}; what is beyond \
                 is estimated from the database's statistics, and says so. `estimated`: the same where to count would take \
                 longer than to answer the page."
            ),
            ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["exact", "estimated"])),
        ),
        parameter(
            "facets",
            "Tell in `facets` how many products of the whole list, with all its filters, have which values: one or more of \
             `brand`, `category` (one step below the list's own) and `price` (bands of prices in `currency`), separated by \
             commas. The 50 most usual values of each.",
            ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^(brand|category|price)(,(brand|category|price))*$")),
        ),
        parameter(FIELDS, FIELDS_DESCRIPTION, ObjectBuilder::new().schema_type(Type::String)),
    ]
}

pub(super) const FIELDS: &str = "fields";
pub(super) const FIELDS_DESCRIPTION: &str = "Only these fields of each product, separated by commas, such as `id,name,price`: \
    then the others are absent, also those that the schema requires. All if it is not given.";

const SORT: &str = "The order; equal ones stand by id. `-` is descending: `-price` the dearest first, `-created_at` the \
    newest first. Names are compared by their Unicode code points. `price` and `-price` hold only products with a price \
    in `currency`.";

fn sort(sorts: &[Sort]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(sorts.iter().map(|sort| sort.word())))
        .default(sorts.first().map(|sort| json!(sort.word())))
        .build()
}

fn whole(max: u32) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(max))
}

fn parameter(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::PageQuery;

    #[test]
    fn what_is_described_is_what_is_read() {
        let unknown = || vec![("x".to_owned(), String::new())];
        let listed = PageQuery::list(unknown(), Currency::default()).map_err(|fault| fault.to_string());
        let searched = PageQuery::search(unknown(), Currency::default()).map_err(|fault| fault.to_string());
        let refusal = |described: Vec<Parameter>| {
            let names: Vec<String> = described.into_iter().map(|parameter| parameter.name).collect();
            Err(format!("there is no query parameter \"x\" here; allowed are {}", names.join(", ")))
        };
        assert_eq!(listed, refusal(ListParams::into_params(|| None)));
        assert_eq!(searched, refusal(SearchParams::into_params(|| None)));
    }
}
