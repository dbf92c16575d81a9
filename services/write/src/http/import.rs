//! `POST /products` with `application/x-ndjson`: stores products by their skus.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use catalog::NewProduct;
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use uuid::Uuid;

use super::bulk::{self, Ending, Stored, Work};
use super::conditions::LineKey;
use super::lines::Line;
use super::results::{done, refused};
use crate::app::{App, Primary};
use crate::commit::{self, Author, BatchResult, NewLine, ProductLine, Upserted};
use crate::counts::{self, Bulk};
use crate::error::WriteError;
use crate::keys::Permit;

/// What an import sends: documented as text, because `OpenAPI` 3.1 has no word for lines.
pub(super) struct ImportLines;

pub(super) fn import(app: App, permit: Permit, body: Body, key: Option<LineKey>) -> Result<Response, WriteError> {
    let bulk_id = Uuid::now_v7();
    let author = Author { bulk_id: Some(bulk_id), ..permit.actor().into() };
    let import = Import { primary: app.primary.clone(), author, bulk_id, key };
    bulk::answer(app, permit, body, import)
}

struct Import {
    primary: Primary,
    author: Author,
    bulk_id: Uuid,
    key: Option<LineKey>,
}

impl Work for Import {
    /// One transaction: enough to spread its cost, and few enough to hold its locks for only tens of milliseconds.
    const LINES_MAX: usize = 500;

    fn end(&self) -> Ending {
        Ending::Stored(self.bulk_id)
    }

    async fn store(&mut self, batch: Vec<Line>) -> Stored {
        let mut lines = Vec::with_capacity(batch.len());
        let mut read: Vec<(u64, Result<(), WriteError>)> = Vec::with_capacity(batch.len());
        for line in batch {
            read.push((line.number, self.parse(&line).map(|new| lines.push(new))));
        }
        let BatchResult { done: stored, failure, moments } = commit::upsert(&self.primary, &lines, &self.author).await;
        if let Some(failure) = &failure {
            failure.log();
        }

        let mut stored = lines.into_iter().map(|line| line.new.sku).zip(stored);
        let result = |(line, read): (u64, Result<(), WriteError>)| match read.map(|()| stored.next()) {
            Ok(Some((sku, Ok(Upserted { id, version, is_new })))) => {
                let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
                done(line, status, ProductLine { id, sku, version })
            }
            Ok(Some((_, Err(error)))) => {
                error.log();
                refused(line, &error)
            }
            Ok(None) => refused(line, failure.as_ref().expect("what was not done has a reason")),
            Err(refusal) => refused(line, &refusal),
        };
        let results: Vec<_> = read.into_iter().map(result).collect();
        for result in &results {
            counts::line(Bulk::Import, result.status());
        }
        Stored { results, moments, has_failed: failure.is_some() }
    }
}

impl Import {
    fn parse(&self, line: &Line) -> Result<NewLine, WriteError> {
        let text: &Bytes = line.text.as_ref().ok_or(WriteError::LineTooLong)?;
        let new = NewProduct::parse(text)?;
        Ok(NewLine { new, once: self.key.as_ref().map(|key| key.once(line.number, text)) })
    }
}

impl utoipa::PartialSchema for ImportLines {
    fn schema() -> RefOr<Schema> {
        let description = "One product a line, each a `NewProduct`";
        Schema::Object(ObjectBuilder::new().schema_type(Type::String).description(Some(description)).build()).into()
    }
}

impl ToSchema for ImportLines {
    fn name() -> Cow<'static, str> {
        "ImportLines".into()
    }
}
