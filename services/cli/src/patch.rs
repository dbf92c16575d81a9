//! `freshet patch`: some fields of one product; of many it is [`patch_file`]'s.

use std::process::ExitCode;

use anyhow::bail;
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, Value};

use crate::args::{Patch, Target};
use crate::failure::accepted;
use crate::output::{print_line, print_product};
use crate::patch_file::{self, IDEMPOTENCY_KEY, key_value};

pub(crate) async fn run(patch: &Patch, target: &Target) -> anyhow::Result<ExitCode> {
    let id = match (patch.id, &patch.file.file) {
        (Some(id), _) => id,
        (None, Some(file)) => return patch_file::run(patch, file, target).await,
        (None, None) => bail!("name a product by its id, or a file with --file"),
    };
    let body = serde_json::to_vec(&merge_patch(patch)?)?;
    let url_path = format!("/products/{id}");
    let answer = target.client()?.request(Method::PATCH, &url_path, headers(patch)?, body).await?;
    let answer = accepted(answer)?;
    if target.json {
        print_line(&answer.body)?;
    } else {
        print_product(&answer.json()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn headers(patch: &Patch) -> anyhow::Result<HeaderMap> {
    let merge_patch = HeaderValue::from_static("application/merge-patch+json");
    let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, merge_patch)]);
    if let Some(version) = patch.fields.if_match {
        headers.insert(header::IF_MATCH, HeaderValue::try_from(format!("\"{version}\""))?);
    }
    if let Some(key) = &patch.idempotency_key {
        headers.insert(IDEMPOTENCY_KEY, key_value(key)?);
    }
    Ok(headers)
}

/// The JSON merge patch (RFC 7396) of what was typed.
fn merge_patch(Patch { fields, reason, .. }: &Patch) -> anyhow::Result<Map<String, Value>> {
    let texts = [
        ("price", &fields.price),
        ("currency", &fields.currency),
        ("name", &fields.name),
        ("description", &fields.description),
        ("brand", &fields.brand),
        ("category", &fields.category),
        ("image_url", &fields.image_url),
    ];
    let numbers = [("stock", fields.stock), ("stock_delta", fields.stock_delta)];
    let mut body: Map<String, Value> =
        texts.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text.clone()?.into()))).collect();
    body.extend(numbers.into_iter().filter_map(|(field, number)| Some((field.to_owned(), number?.into()))));
    for field in fields.clear.iter().map(|clear| clear.field()) {
        if body.get(field).is_some_and(|value| !value.is_null()) {
            bail!("{field} cannot be both set and cleared");
        }
        body.insert(field.to_owned(), Value::Null);
    }
    if body.is_empty() {
        bail!("nothing to change: pass at least one field, such as --price 19.99 (see `freshet patch --help`)");
    }
    body.extend(reason.iter().map(|reason| ("reason".to_owned(), reason.clone().into())));
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
        assert_eq!(
            merge_patch_of("freshet patch 7 --stock-delta -4 --reason sold").ok(),
            Some(json!({"stock_delta": -4, "reason": "sold"}))
        );
    }

    #[test]
    fn nothing_to_change_and_a_contradiction_are_refused_here() {
        assert!(merge_patch_of("freshet patch 7").is_err());
        assert!(merge_patch_of("freshet patch 7 --reason sold").is_err());
        assert!(merge_patch_of("freshet patch 7 --brand A --clear brand").is_err());
    }
}
