//! `GET /products/suggest`: how what is being typed may go on, and the products that it would find.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bootstrap::{ApiQuery, Problem};
use bytes::Bytes;
use catalog::{Name, Product, ProductId, Sku};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problems;
use super::conditional::{Cacheable, EntityTag, conditional};
use crate::App;
use crate::demand::Demand;
use crate::error::ReadError;
use crate::pages::{PageQuery, Parameters, QueryFault, Stage, Usage, Words, whole};

/// As many as fit below a search field.
const LIMIT_DEFAULT: u32 = 8;
const LIMIT_MAX: u32 = 20;
/// Products whose texts say how the words may go on: the best matches.
const PRODUCTS_SEEN: u32 = 50;

/// What is being typed
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `read` reads")]
pub(crate) struct SuggestParameters {
    /// What was typed so far, as in a search
    #[param(min_length = 1, max_length = 200, example = "desk la")]
    q: String,
    /// Most completions, and most products
    #[param(minimum = 1, maximum = 20, default = 8)]
    limit: Option<u32>,
}

/// How a search may go on
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Suggestions {
    /// Searches, each with what was typed first or what was probably meant, the likeliest first
    #[schema(max_items = 20)]
    completions: Vec<String>,
    /// The best matches of what was typed so far
    #[schema(max_items = 20)]
    products: Vec<Suggested>,
}

/// A product that would be found
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Suggested {
    id: ProductId,
    sku: Sku,
    name: Name,
}

/// Suggest searches while they are typed
///
/// From the names of the best matches: words that begin like the last word typed, and words that follow it; first what was
/// probably meant, where no product has a word as it was typed.
#[utoipa::path(
    get,
    path = "/products/suggest",
    tag = "products",
    params(
        SuggestParameters,
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the answer that the client holds"),
        ("Consistency-Token" = Option<String>, Header, description = "Tokens of writes, comma-separated: the answer includes these writes"),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache`: the answer is read from the primary after the request arrived, past every cache; 503 with `Retry-After` if too many ask for that. Other directives change nothing"),
    ),
    responses(
        (status = 200, description = "Searches and products", body = Suggestions, headers(
            ("ETag" = String, description = "Weak: equal for equal bodies"),
            ("Cache-Status" = String, description = "Which tier answered (RFC 9211)"),
            ("Catalog-As-Of" = String, description = "Every write acknowledged before this moment is in the answer; absent while that is not known"),
        )),
        (status = 304, description = "The client holds this very answer"),
        Problems,
    ),
)]
pub(crate) async fn suggest(
    State(app): State<Arc<App>>,
    ApiQuery(pairs): ApiQuery<Vec<(String, String)>>,
    demand: Demand,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let (words, limit) = read(pairs).map_err(ReadError::from)?;
    let query = PageQuery::typing(words.clone(), PRODUCTS_SEEN);
    let (answer, as_of) = app.pages.get(query, &demand).await?;
    let products = answer.value.products().map_err(|_| ReadError::Lost)?;
    let suggestions = suggestions(&words, answer.value.extent.stage.as_ref(), products, limit);
    let body = Bytes::from(serde_json::to_vec(&suggestions).expect("numbers and strings always serialize"));
    let found = Cacheable { etag: EntityTag::of_body(&body), body, cache_status: answer.trace.to_string(), as_of };
    Ok(conditional(&request, &app.cache_control, found))
}

fn read(pairs: Vec<(String, String)>) -> Result<(Words, usize), QueryFault> {
    let mut parameters = Parameters::new(&["q", "limit"], pairs)?;
    let words = parameters.require("q", Words::try_from);
    let limit = parameters.read("limit", |text| whole(&text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
    parameters.finish()?;
    let words = words.expect("without words there was a fault");
    Ok((words, usize::try_from(limit).unwrap_or(usize::MAX)))
}

fn suggestions(words: &Words, stage: Option<&Stage>, products: Vec<Product>, limit: usize) -> Suggestions {
    let meant = meant(words, stage);
    let mut completions = completions(&meant, &products);
    if meant != lower(words.as_str()) {
        completions.insert(0, meant.join(" "));
    }
    completions.truncate(limit);
    let suggested = |Product { id, sku, name, .. }| Suggested { id, sku, name };
    Suggestions { completions, products: products.into_iter().take(limit).map(suggested).collect() }
}

/// The words typed, each that no product has replaced by what stands for it.
fn meant(words: &Words, stage: Option<&Stage>) -> Vec<String> {
    let terms = stage.map(|stage| stage.terms.0.as_slice()).unwrap_or_default();
    let instead = |word: String| {
        let replaced = terms.iter().find_map(|term| match &term.usage {
            Usage::Unknown { instead: Some(lexeme) } if term.exact == [word.as_str()] => Some(lexeme.clone()),
            _ => None,
        });
        replaced.unwrap_or(word)
    };
    lower(words.as_str()).into_iter().map(instead).collect()
}

/// How the words go on in the products, the most usual way first and that of the best match among equals.
fn completions(words: &[String], products: &[Product]) -> Vec<String> {
    let Some((last, before)) = words.split_last() else { return Vec::new() };
    let mut seen: HashMap<Vec<String>, (usize, usize)> = HashMap::new();
    for (at, product) in products.iter().enumerate() {
        let name = lower(product.name.as_str());
        let brand = product.brand.as_ref().map(|brand| lower(brand.as_str())).unwrap_or_default();
        // One letter begins too many words to say anything.
        let longer = name.iter().chain(&brand).filter(|word| word.starts_with(last.as_str()) && *word != last);
        let longer = longer.filter(|_| last.chars().count() > 1);
        let following = name.windows(2).filter(|pair| &pair[0] == last && !words.contains(&pair[1]));
        let mut ways: Vec<Vec<String>> =
            longer.map(|word| vec![word.clone()]).chain(following.map(<[_]>::to_vec)).collect();
        ways.sort_unstable();
        ways.dedup();
        for way in ways {
            seen.entry(way).or_insert((0, at)).0 += 1;
        }
    }
    let mut ways: Vec<(Vec<String>, (usize, usize))> = seen.into_iter().collect();
    ways.sort_unstable_by(|(one, (times, first)), (other, (other_times, other_first))| {
        (Reverse(times), first, one).cmp(&(Reverse(other_times), other_first, other))
    });
    ways.into_iter().map(|(way, _)| [before, way.as_slice()].concat().join(" ")).collect()
}

/// The words of a text in lower case, without the signs between them.
fn lower(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::{Reach, Term, Terms};

    fn product(name: &str, brand: &str) -> Product {
        let json = format!(
            r#"{{"id":7,"sku":"L-1","name":"{name}","description":null,"brand":"{brand}","category":null,"image_url":null,
            "price":"3.00","currency":"USD","stock":4,"version":2,"created_at":"2026-01-02T03:04:05Z",
            "updated_at":"2026-01-02T03:04:05Z"}}"#
        );
        serde_json::from_str(&json).expect("a product")
    }

    fn suggested(typed: &str, stage: Option<&Stage>) -> Vec<String> {
        let shop = vec![
            product("Desk lamp, white", "Lumo"),
            product("Desk lamp with lantern", "Lantern"),
            product("Lamp for a desk", "Lumo"),
        ];
        suggestions(&Words::try_from(typed.to_owned()).expect("words"), stage, shop, 4).completions
    }

    #[test]
    fn the_last_word_goes_on_as_words_of_names_and_brands_do() {
        assert_eq!(suggested("desk LA", None), ["desk lamp", "desk lantern"]);
        assert_eq!(suggested("lu", None), ["lumo"]);
        assert_eq!(suggested("xyz", None), Vec::<String>::new());
    }

    #[test]
    fn a_whole_word_goes_on_with_those_that_follow_it() {
        assert_eq!(suggested("desk", None), ["desk lamp"]);
        assert_eq!(suggested("desk lamp", None), ["desk lamp white", "desk lamp with", "desk lamp for"]);
    }

    #[test]
    fn what_was_probably_meant_comes_first() {
        let word = |word: &str, usage| {
            let lexemes = vec![word.to_owned()];
            Term { exact: lexemes.clone(), stem: lexemes, is_beginning: false, usage }
        };
        let instead = Usage::Unknown { instead: Some("lamp".to_owned()) };
        let terms = Terms(vec![word("desk", Usage::Rare), word("lmap", instead)]);
        let stage = Stage { terms, reach: Reach::Some };
        assert_eq!(suggested("desk lmap", Some(&stage))[..2], ["desk lamp", "desk lamp white"]);
    }
}
