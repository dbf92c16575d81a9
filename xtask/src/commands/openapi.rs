//! `openapi`: the committed documents of the services, and the one of both that the gateway serves.

use std::fs;

use anyhow::{Result, ensure};
use clap::Args;
use serde_json::{Map, Value, json};
use xtask::repository;

use super::cargo;

#[derive(Args)]
pub(crate) struct Openapi {
    /// Write nothing; fail if a committed document differs from the code
    #[arg(long)]
    pub(super) check: bool,
}

impl Openapi {
    pub(crate) fn run(&self) -> Result<()> {
        let write = printed_by("freshet-write")?;
        let read = printed_by("freshet-read")?;
        let merged = merge(&serde_json::from_str(&write)?, &serde_json::from_str(&read)?)?;
        let merged = format!("{}\n", serde_json::to_string_pretty(&merged)?);
        let mut drifted = Vec::new();
        for (service, document) in [("write", write), ("read", read), ("gateway", merged)] {
            let path = format!("services/{service}/openapi.json");
            let file = repository::file(&path);
            if fs::read_to_string(&file).is_ok_and(|committed| committed == document) {
                continue;
            }
            if !self.check {
                fs::write(&file, document)?;
                eprintln!("wrote {path}");
            }
            drifted.push(path);
        }
        ensure!(
            !self.check || drifted.is_empty(),
            "{} differs from the code; `cargo xtask openapi` writes it",
            drifted.join(" and ")
        );
        Ok(())
    }
}

/// What `program openapi` prints, ending in one newline.
fn printed_by(program: &str) -> Result<String> {
    let output = cargo::cargo(&["run", "--quiet", "--bin", program, "--", "openapi"]).output()?;
    ensure!(output.status.success(), "{program} openapi failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(format!("{}\n", text.trim_end()))
}

/// One document with the paths and components of both; what stands in both must be the same in both.
fn merge(write: &Value, read: &Value) -> Result<Value> {
    let mut merged = json!({
        "openapi": write["openapi"],
        "info": { "title": "Freshet", "description": "A product catalogue", "version": write["info"]["version"] },
    });
    for field in ["license", "contact"] {
        if !write["info"][field].is_null() {
            merged["info"][field] = write["info"][field].clone();
        }
    }
    for section in ["paths", "components"] {
        let joined = join(section, &write[section], &read[section])?;
        merged[section] = joined;
    }
    let mut tags: Vec<Value> = Vec::new();
    for tag in [write, read].iter().filter_map(|document| document["tags"].as_array()).flatten() {
        if tags.iter().all(|known| known["name"] != tag["name"]) {
            tags.push(tag.clone());
        }
    }
    if !tags.is_empty() {
        merged["tags"] = Value::Array(tags);
    }
    Ok(sorted(merged))
}

/// Two levels of names (path and method, kind of component and name) are joined; below them only equals meet.
fn join(section: &str, left: &Value, right: &Value) -> Result<Value> {
    let mut joined = left.as_object().cloned().unwrap_or_default();
    for (outer, members) in right.as_object().into_iter().flatten() {
        let target = joined.entry(outer.clone()).or_insert_with(|| Value::Object(Map::new()));
        for (inner, value) in members.as_object().into_iter().flatten() {
            let known = &target[inner];
            ensure!(known.is_null() || known == value, "{section}/{outer}/{inner} differs between write and read");
            target[inner] = value.clone();
        }
    }
    Ok(Value::Object(joined))
}

/// Names in order, whichever order serde keeps in this build.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> =
                members.into_iter().map(|(name, value)| (name, sorted(value))).collect();
            members.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, method: &str, schema: &str) -> Value {
        json!({
            "openapi": "3.1.0",
            "info": { "title": "one", "version": "1" },
            "paths": { path: { method: { "operationId": method } } },
            "components": { "schemas": { "Problem": { "type": schema } } },
        })
    }

    #[test]
    fn paths_and_methods_of_both_are_in_the_merged_document() {
        let merged = merge(&document("/a", "post", "object"), &document("/a", "get", "object")).expect("no conflict");

        assert_eq!(merged["paths"]["/a"]["post"]["operationId"], "post");
        assert_eq!(merged["paths"]["/a"]["get"]["operationId"], "get");
        assert_eq!(merged["components"]["schemas"]["Problem"]["type"], "object");
    }

    #[test]
    fn one_name_for_two_schemas_is_refused() {
        let error = merge(&document("/a", "post", "object"), &document("/b", "get", "string"))
            .expect_err("two schemas, one name");

        assert_eq!(error.to_string(), "components/schemas/Problem differs between write and read");
    }
}
