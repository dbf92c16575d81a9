//! `freshet watch`: every change as it is published.

use std::process::ExitCode;

use anyhow::{Context, bail};
use events::{Change, ChangeKind, Message, PRODUCT_SUBJECTS, ProductEvent};
use futures_util::StreamExt;

use crate::args::{Target, Watch};
use crate::output::print_line;
use crate::stack;

pub(crate) async fn run(watch: &Watch, target: &Target) -> anyhow::Result<ExitCode> {
    let url = match &watch.nats_url {
        Some(url) => url.clone(),
        None if target.url.is_some() => bail!("watch reads the stream, not the API: pass --nats-url with --url"),
        None => stack::find("NATS_URL", "--nats-url")?,
    };
    let nats = async_nats::connect(&url).await.with_context(|| format!("NATS at {url} cannot be reached"))?;
    // A plain subscription sees what is published from now on, and leaves nothing behind in the stream.
    let mut messages = nats.subscribe(PRODUCT_SUBJECTS).await?;
    nats.flush().await?;
    eprintln!("watching {PRODUCT_SUBJECTS} at {url}; Ctrl-C ends");
    while let Some(message) = messages.next().await {
        match Message::decode(&message.payload) {
            Ok(Message::Product(_)) if target.json => print_line(&message.payload)?,
            Ok(Message::Product(event)) => print_line(line(&event))?,
            Ok(Message::Heartbeat { .. }) => {}
            Err(error) => eprintln!("freshet: {}: {:#}", message.subject, anyhow::Error::new(error)),
        }
    }
    bail!("the connection to NATS at {url} is closed")
}

/// `12:03:04 updated #7 LAMP-1 v3: price 24.99 → 19.99, stock 4 → 3`
fn line(event: &ProductEvent) -> String {
    let change = &event.change;
    let time = event.time;
    let sku = match (&change.after, &change.before) {
        (Some(after), _) => after.sku.as_str(),
        (None, Some(before)) => before.sku.as_str(),
        (None, None) => "",
    };
    let kind = change.kind().word();
    format!(
        "{:02}:{:02}:{:02} {kind} #{} {sku} v{}{}",
        time.hour(),
        time.minute(),
        time.second(),
        change.id,
        change.version,
        differences(change)
    )
}

fn differences(change: &Change) -> String {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        let named = change.after.as_ref().filter(|_| change.kind() == ChangeKind::Created);
        return named
            .map(|product| format!(": {}, {} {}", product.name, product.price, product.currency))
            .unwrap_or_default();
    };
    let pairs = [
        ("sku", before.sku.to_string(), after.sku.to_string()),
        ("name", before.name.to_string(), after.name.to_string()),
        ("brand", or_none(before.brand.as_ref()), or_none(after.brand.as_ref())),
        ("category", or_none(before.category.as_ref()), or_none(after.category.as_ref())),
        ("price", before.price.to_string(), after.price.to_string()),
        ("currency", before.currency.to_string(), after.currency.to_string()),
        ("stock", before.stock.to_string(), after.stock.to_string()),
    ];
    let changed: Vec<_> = pairs
        .iter()
        .filter(|(_, old, new)| old != new)
        .map(|(field, old, new)| format!("{field} {old} → {new}"))
        .collect();
    if changed.is_empty() { ": other fields".to_owned() } else { format!(": {}", changed.join(", ")) }
}

fn or_none(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(before: &str, after: &str) -> String {
        let word = match (before, after) {
            ("null", _) => "created",
            (_, "null") => "deleted",
            _ => "updated",
        };
        let payload = format!(
            r#"{{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000002","source":"/catalog/write",
            "type":"catalog.product.{word}.v1","subject":"7","time":"2026-01-02T03:04:06.5Z",
            "datacontenttype":"application/json","epoch":"1","position":"0/1","previous":null,
            "data":{{"id":7,"version":3,"before":{before},"after":{after}}}}}"#
        );
        match Message::decode(payload.as_bytes()).expect("an event") {
            Message::Product(event) => line(&event),
            Message::Heartbeat { .. } => String::new(),
        }
    }

    #[test]
    fn a_line_says_what_changed_from_what_to_what() {
        let before = r#"{"sku":"LAMP-1","name":"Lamp","brand":"Lumo","category":null,"price":"24.99","currency":"USD","stock":4}"#;
        let after = r#"{"id":7,"sku":"LAMP-1","name":"Lamp","description":null,"brand":null,"category":null,"image_url":null,
            "price":"19.99","currency":"USD","stock":4,"version":3,
            "created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:06.5Z"}"#;
        assert_eq!(read(before, after), "03:04:06 updated #7 LAMP-1 v3: brand Lumo → none, price 24.99 → 19.99");
        assert_eq!(read("null", after), "03:04:06 created #7 LAMP-1 v3: Lamp, 19.99 USD");
        assert_eq!(read(before, "null"), "03:04:06 deleted #7 LAMP-1 v3");
    }
}
