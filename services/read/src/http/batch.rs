//! `GET /products?ids=…` and `GET /products?skus=…`: named products in the order asked for.

use std::collections::HashSet;
use std::fmt::Display;
use std::hash::Hash;
use std::str::FromStr;

use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use cache::{Content, Entry};
use catalog::{Product, ProductId, Sku};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::conditional::{Cacheable, EntityTag, conditional};
use crate::App;
use crate::demand::Demand;
use crate::error::ReadError;
use crate::log::AsOf;
use crate::pages::{Fields, Parameters, QueryFault};
use crate::products::Trace;

/// One answer stays small enough to be made and sent at once.
const NAMED_MAX: usize = 100;
pub(super) const PARAMETERS: [&str; 2] = ["ids", "skus"];

/// Names of products; at most one of the two, and beside it only `fields`
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Named` reads")]
pub(crate) struct BatchParameters {
    /// Ids separated by commas, at most 100
    #[param(example = "1,2,3", pattern = "^[1-9][0-9]{0,17}(,[1-9][0-9]{0,17}){0,99}$")]
    ids: Option<String>,
    /// Skus separated by commas, at most 100
    #[param(
        example = "LAMP-1,LAMP-2",
        pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}(,[A-Za-z0-9][A-Za-z0-9._/-]{0,63}){0,99}$"
    )]
    skus: Option<String>,
}

/// Named products, in the order asked for
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductBatch {
    #[schema(max_items = 100)]
    items: Vec<Product>,
    /// Always null: a batch has one page
    #[schema(required, value_type = Option<String>)]
    next_cursor: (),
    /// The ids or skus that name no product, as they were asked for
    #[schema(max_items = 100)]
    missing: Vec<IdOrSku>,
}

/// An id or a sku
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what `body` writes")]
pub(crate) enum IdOrSku {
    Id(ProductId),
    Sku(Sku),
}

/// Products by name, each name once, in the order asked for.
enum Named {
    Ids(Vec<ProductId>),
    Skus(Vec<Sku>),
}

/// Answers a query that names products.
pub(super) async fn get_batch(
    app: &App,
    pairs: Vec<(String, String)>,
    demand: &Demand,
    request: &HeaderMap,
) -> Result<Response, ReadError> {
    let (named, fields) = Named::read(pairs)?;
    let (body, trace, as_of) = match named {
        Named::Ids(ids) => {
            let as_of = app.log.as_of();
            let answer = app.products.by_ids(&ids, demand).await?;
            let oldest = answer.value.values().map(|entry| entry.epoch).min().unwrap_or_default();
            (
                body(&ids, fields.as_ref(), |id| answer.value.get(id)),
                answer.trace,
                AsOf::header_for(as_of.as_deref(), oldest),
            )
        }
        Named::Skus(skus) => {
            let (answer, as_of) = app.products.by_skus(&skus, demand).await?;
            (body(&skus, fields.as_ref(), |sku| answer.value.get(sku)), answer.trace, as_of)
        }
    };
    let found = Cacheable { etag: EntityTag::of_body(&body), body, cache_status: Trace::to_string(&trace), as_of };
    Ok(conditional(request, &app.cache_control, found))
}

impl Named {
    fn read(pairs: Vec<(String, String)>) -> Result<(Self, Option<Fields>), QueryFault> {
        let [ids, skus] = PARAMETERS;
        let mut parameters = Parameters::new(&[ids, skus, "fields"], pairs)?;
        let ids = parameters.read("ids", |text| names(&text));
        let skus = parameters.read("skus", |text| names(&text));
        let fields = parameters.read("fields", Fields::try_from);
        parameters.finish()?;
        match (ids, skus) {
            (Some(ids), None) => Ok((Self::Ids(ids), fields)),
            (None, Some(skus)) => Ok((Self::Skus(skus), fields)),
            _ => Err(QueryFault::Malformed("query parameters ids and skus exclude each other".to_owned())),
        }
    }
}

fn names<T>(text: &str) -> Result<Vec<T>, String>
where
    T: FromStr<Err: Display> + Clone + Eq + Hash,
{
    let parts: Vec<&str> = text.split(',').collect();
    if parts.len() > NAMED_MAX {
        return Err(format!("must name at most {NAMED_MAX} products"));
    }
    let mut seen = HashSet::new();
    let mut names = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        let name: T = part.parse().map_err(|fault| format!("{fault} at place {}", at + 1))?;
        if seen.insert(name.clone()) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Puts the bodies together as they are, or what is asked for of them.
fn body<'a, N: Serialize>(names: &[N], fields: Option<&Fields>, entry: impl Fn(&N) -> Option<&'a Entry>) -> Bytes {
    let mut body = br#"{"items":["#.to_vec();
    let mut missing = Vec::new();
    for name in names {
        let Some(Entry { content: Content::Product(product), .. }) = entry(name) else {
            missing.push(name);
            continue;
        };
        if !body.ends_with(b"[") {
            body.push(b',');
        }
        match fields {
            None => body.extend_from_slice(product),
            Some(fields) => fields.push(product, &mut body),
        }
    }
    body.extend_from_slice(br#"],"next_cursor":null,"missing":"#);
    serde_json::to_writer(&mut body, &missing).expect("numbers and strings always serialize");
    body.push(b'}');
    body.into()
}
