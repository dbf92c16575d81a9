//! What was decided, as the rows that are written.

use std::collections::HashMap;

use axum::http::StatusCode;
use bootstrap::Problem;
use catalog::{ListFields, Product, ProductId, Version};
use events::{Change, ChangeKind};
use serde::Serialize;
use uuid::Uuid;

use super::command::{Author, Done, Once, ProductLine};
use super::decide::Decided;
use crate::error::WriteError;
use crate::store::changes::{AnswerRow, ChangeRow, UpdateRow};
use crate::store::idempotency::Kept;

/// What each product that was there becomes in the end, in the order of ids.
pub(super) fn updates(decided: &[Decided]) -> Vec<UpdateRow> {
    let mut first_and_last: HashMap<ProductId, (Version, &Decided)> = HashMap::new();
    for decided in decided.iter().filter(|decided| decided.change.kind() != ChangeKind::Created) {
        let first = decided.change.version;
        first_and_last.entry(decided.change.id).or_insert((first, decided)).1 = decided;
    }
    let mut updates: Vec<_> = first_and_last.into_iter().collect();
    updates.sort_unstable_by_key(|(id, _)| *id);
    updates.into_iter().filter_map(|(_, (first, last))| update(first, last)).collect()
}

fn update(first: Version, Decided { change, deleted, .. }: &Decided) -> Option<UpdateRow> {
    let version_before = first.get() - 1;
    match &change.after {
        Some(after) => Some(UpdateRow::new(after, version_before)),
        None => Some(UpdateRow::new(deleted.as_ref()?, version_before).deleted_at(change.version)),
    }
}

/// The event of a change, and what is kept of it.
pub(super) fn change(Decided { change, author, reason, .. }: &Decided) -> ChangeRow {
    let Change { before, after, .. } = change;
    ChangeRow {
        product_id: change.id.get(),
        version: change.version.get(),
        // In the order of time, so that the index of these ids grows at its end.
        event_id: Uuid::now_v7(),
        kind: change.kind().word().to_owned(),
        data: serde_json::to_string(change).expect("a change has string keys and no failing serializer"),
        actor: author.actor.to_string(),
        reason: reason.as_ref().map(ToString::to_string),
        bulk_id: author.bulk_id,
        price_from: before.as_ref().map(|ListFields { price, .. }| price.minor()),
        currency_from: before.as_ref().map(|ListFields { currency, .. }| currency.code().to_owned()),
        stock_from: before.as_ref().map(|ListFields { stock, .. }| stock.get()),
        price_to: after.as_ref().map(|Product { price, .. }| price.minor()),
        currency_to: after.as_ref().map(|Product { currency, .. }| currency.code().to_owned()),
        stock_to: after.as_ref().map(|Product { stock, .. }| stock.get()),
    }
}

/// The answer to a request about `id` that is done once. Of a line it is what the line is answered, in fewer words.
pub(super) fn answer(id: ProductId, author: &Author, once: &Once, result: &Result<Done, WriteError>) -> AnswerRow {
    let product = |product: &Product| match once.line {
        0 => product.to_json(),
        _ => json(&ProductLine::from(product)),
    };
    let (status, body) = match result {
        Ok(Done::Created(created)) => (201, product(created)),
        Ok(Done::Patched(patched)) => (200, product(patched)),
        Ok(Done::Deleted(..)) => (204, Vec::new()),
        Ok(Done::Repeated(kept)) => (kept.status, kept.body.clone().into_bytes()),
        Err(refusal) => {
            let problem = refusal.problem().of_request(&once.request_id);
            (i16::try_from(problem.status().as_u16()).expect("a status has three digits"), json(&problem))
        }
    };
    let product = result.as_ref().ok().and_then(Done::product);
    let version = match result {
        Err(WriteError::Stale(current)) => Some(current.version),
        _ => product.map(|(_, version)| version),
    };
    AnswerRow {
        of_product: id.get(),
        actor: author.actor.to_string(),
        key: once.key.0.to_string(),
        line: once.line,
        request: once.request.to_vec(),
        status,
        body: String::from_utf8(body).expect("JSON is UTF-8"),
        product_id: product.map(|(id, _)| id.get()),
        version: version.map(Version::get),
    }
}

fn json(answer: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer has string keys and no failing serializer")
}

impl From<&AnswerRow> for Kept {
    fn from(answer: &AnswerRow) -> Self {
        Self {
            request: answer.request.clone(),
            status: answer.status,
            body: answer.body.clone(),
            product_id: answer.product_id,
            version: answer.version,
        }
    }
}

impl Kept {
    pub(crate) fn status(&self) -> StatusCode {
        u16::try_from(self.status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or_default()
    }

    /// A deleted product has none, any other answer that named a version had one.
    pub(super) fn etag(&self) -> Option<Version> {
        self.version.filter(|_| self.status != 204)?.try_into().ok()
    }

    /// The product and the version that it has come to, if the answer was no refusal.
    pub(crate) fn product(&self) -> Option<(ProductId, Version)> {
        Some((self.product_id?.try_into().ok()?, self.version?.try_into().ok()?))
    }

    /// What the line of a bulk was answered, if it was no refusal.
    pub(crate) fn line(&self) -> Option<ProductLine> {
        self.product_id.and_then(|_| serde_json::from_str(&self.body).ok())
    }

    /// The refusal that the answer was, if it was one.
    pub(crate) fn problem(&self) -> Option<Problem> {
        serde_json::from_str(&self.body).ok()
    }
}
