//! `freshet keys`: makes, lists and revokes API keys.

use std::process::ExitCode;

use anyhow::Context;
use client::Client;
use form_urlencoded::byte_serialize;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::args::{CreateKey, Keys, RevokeKey, Target};
use crate::failure::accepted;
use crate::output::{print_keys, print_line};

/// The largest page that the service gives.
const PAGE_LIMIT: u32 = 1_000;

#[derive(Deserialize)]
struct Page {
    items: Vec<Map<String, Value>>,
    next_cursor: Option<String>,
}

pub(crate) async fn run(keys: &Keys, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.client()?;
    match keys {
        Keys::Create(new) => create(&client, new, target.json).await?,
        Keys::List => list(&client, target.json).await?,
        Keys::Revoke(revoked) => revoke(&client, revoked).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The key alone on standard output, so that a script can take it from there.
async fn create(client: &Client, new: &CreateKey, is_json: bool) -> anyhow::Result<()> {
    let body = json!({ "name": new.name, "scopes": new.scopes, "expires_at": new.expires_at });
    let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let answer = accepted(client.request(Method::POST, "/keys", json, body.to_string()).await?)?;
    if is_json {
        return print_line(&answer.body);
    }
    let issued: Map<String, Value> = answer.json()?;
    let member = |name: &str| issued.get(name).and_then(Value::as_str).context("the answer holds no key");
    eprintln!("key {} of {}; it is not shown again:", member("id")?, member("name")?);
    print_line(member("key")?)
}

async fn list(client: &Client, is_json: bool) -> anyhow::Result<()> {
    let (mut keys, mut path) = (Vec::new(), format!("/keys?limit={PAGE_LIMIT}"));
    loop {
        let page: Page = accepted(client.get(&path).await?)?.json()?;
        keys.extend(page.items);
        let Some(cursor) = page.next_cursor else { break };
        path = format!("/keys?limit={PAGE_LIMIT}&cursor={}", escaped(&cursor));
    }
    if is_json { print_line(serde_json::to_vec(&keys)?) } else { print_keys(&keys) }
}

async fn revoke(client: &Client, RevokeKey { id }: &RevokeKey) -> anyhow::Result<()> {
    let path = format!("/keys/{}", escaped(id));
    accepted(client.request(Method::DELETE, &path, HeaderMap::new(), "").await?)?;
    eprintln!("key {id} is revoked");
    Ok(())
}

fn escaped(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}
