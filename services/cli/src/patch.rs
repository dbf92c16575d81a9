//! `freshet patch`: some fields of one product.

use std::process::ExitCode;

use anyhow::bail;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, Value};

use crate::args::{Patch, Target};
use crate::failure::accepted;
use crate::output::{print_line, print_product};

pub(crate) async fn run(patch: &Patch, target: &Target) -> anyhow::Result<ExitCode> {
    let body = merge_patch(patch)?;
    let merge_patch = HeaderValue::from_static("application/merge-patch+json");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, merge_patch)]);
    let url_path = format!("/products/{}", patch.id);
    let answer = target.client()?.request(Method::PATCH, &url_path, headers, serde_json::to_vec(&body)?).await?;
    let answer = accepted(answer)?;
    if target.json {
        print_line(&answer.body)?;
    } else {
        print_product(&answer.json()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The JSON merge patch (RFC 7396) of what was typed.
fn merge_patch(patch: &Patch) -> anyhow::Result<Map<String, Value>> {
    let texts = [
        ("price", &patch.price),
        ("currency", &patch.currency),
        ("name", &patch.name),
        ("description", &patch.description),
        ("brand", &patch.brand),
        ("category", &patch.category),
        ("image_url", &patch.image_url),
    ];
    let mut body: Map<String, Value> =
        texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text.clone()?.into()))).collect();
    if let Some(stock) = patch.stock {
        body.insert("stock".to_owned(), stock.into());
    }
    for field in patch.clear.iter().map(|clear| clear.field()) {
        if body.get(field).is_some_and(|value| !value.is_null()) {
            bail!("{field} cannot be both set and cleared");
        }
        body.insert(field.to_owned(), Value::Null);
    }
    if body.is_empty() {
        bail!("nothing to change: pass at least one field, such as --price 19.99 (see `freshet patch --help`)");
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::args::{Args, Command};

    fn merge_patch_of(line: &str) -> anyhow::Result<Value> {
        match Args::try_parse_from(line.split(' '))?.command {
            Command::Patch(patch) => merge_patch(&patch).map(Value::Object),
            other => bail!("{other:?}"),
        }
    }

    #[test]
    fn only_what_was_typed_is_sent_and_what_is_cleared_is_null() {
        assert_eq!(
            merge_patch_of("freshet patch 7 --price 19.90 --stock 4 --clear brand --clear image-url").ok(),
            Some(json!({"price": "19.90", "stock": 4, "brand": null, "image_url": null}))
        );
    }

    #[test]
    fn nothing_to_change_and_a_contradiction_are_refused_here() {
        assert!(merge_patch_of("freshet patch 7").is_err());
        assert!(merge_patch_of("freshet patch 7 --brand A --clear brand").is_err());
    }
}
