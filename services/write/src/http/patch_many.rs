//! `PATCH /products` with `application/x-ndjson`: changes products while their lines arrive, and answers each in order.

use std::borrow::Cow;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use bootstrap::{ApiQuery, Problem};
use catalog::PatchLine;
use serde::Deserialize;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::allowed::{Allowed, ProductsBulk};
use super::body::PatchLines;
use super::bulk::{self, Ending, Stored, Work};
use super::conditions::{Conditions, LineKey};
use super::lines::Line;
use super::openapi::{KeyProblems, ServerProblems};
use super::results::{BulkResult, done, refused, refused_with};
use crate::app::{App, Primary};
use crate::commit::{self, Author, BulkLine, Done, Outcome, ProductLine};
use crate::counts::{self, Bulk};
use crate::error::WriteError;
use crate::store::Moment;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Options {
    /// Reads and decides everything and stores nothing: each line is answered what it would be
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// Changes some fields of many products
///
/// Takes any number of lines of at most 64 KiB, each a `PatchLine`: a merge patch with the `id` or the `sku` of its
/// product, and the versions that it may be made of as `if_match`. Each line is one change like a patch of its own, is
/// accepted or refused for itself, and is answered by one line, in order, while the body still arrives; read them, or
/// the server stops reading. Empty lines count and are not answered. Lines of one product are done in their order.
/// When the database goes away the lines concerned are answered with status 503, and no more are read. The last line
/// of the answer is the `BulkEnd`.
///
/// With an `Idempotency-Key` a line is done once, however often it is sent under the key with the same number: a bulk
/// that broke off is sent again as it was, and goes on where it had come to. A repeated line gets its first answer; another
/// text under the same number is refused with 422. Lines that cannot be read, and those answered with 5xx, are not kept.
///
/// A dry run (`dry_run=true`) sees the effect of an earlier line of the same product only if both are read together,
/// with at most 200 lines.
#[utoipa::path(
    patch,
    path = "/products",
    tag = "products",
    security(("key" = [])),
    params(
        Options,
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters, new for each bulk"),
    ),
    request_body(content = PatchManyLines, content_type = "application/x-ndjson"),
    responses(
        (status = 200, description = "The lines are answered, each by a `BulkResult`", body = BulkResult,
            content_type = "application/x-ndjson"),
        (status = 400, description = "A parameter or a header is not valid", body = Problem,
            content_type = "application/problem+json"),
        (status = 415, description = "The body's media type is another", body = Problem,
            content_type = "application/problem+json",
            headers(("Accept-Patch" = String, description = "The media types that are taken"))),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn patch_products(
    State(app): State<App>,
    Allowed { permit, .. }: Allowed<ProductsBulk>,
    ApiQuery(options): ApiQuery<Options>,
    conditions: Conditions,
    PatchLines(body): PatchLines,
) -> Result<Response, WriteError> {
    let key = conditions.of_lines()?;
    let bulk_id = Uuid::now_v7();
    let author = Author { bulk_id: Some(bulk_id), ..permit.actor().into() };
    let work = PatchMany { primary: app.primary.clone(), author, bulk_id, key, is_rehearsal: options.dry_run };
    bulk::answer(app, permit, body, work)
}

/// What a bulk patch sends: documented as text, because `OpenAPI` 3.1 has no word for lines.
pub(super) struct PatchManyLines;

struct PatchMany {
    primary: Primary,
    author: Author,
    bulk_id: Uuid,
    key: Option<LineKey>,
    is_rehearsal: bool,
}

impl Work for PatchMany {
    /// One transaction, mostly: it holds its rows for milliseconds, so that a single patch that meets it is not slow.
    const LINES_MAX: usize = 200;

    fn end(&self) -> Ending {
        if self.is_rehearsal { Ending::Rehearsed } else { Ending::Stored(self.bulk_id) }
    }

    async fn store(&mut self, batch: Vec<Line>) -> Stored {
        let mut lines = Vec::with_capacity(batch.len());
        let mut read: Vec<(u64, Result<(), WriteError>)> = Vec::with_capacity(batch.len());
        for line in batch {
            read.push((line.number, self.parse(&line).map(|line| lines.push(line))));
        }
        let mut outcomes = commit::patch_all(&self.primary, lines, &self.author, self.is_rehearsal).await.into_iter();
        let mut stored = Stored::default();
        for (line, read) in read {
            let outcome = read.and_then(|()| outcomes.next().expect("each line has an outcome"));
            if let Ok((_, token)) = &outcome {
                stored.moments.push(Moment { epoch: token.epoch, position: token.position });
            }
            stored.has_failed |= outcome.as_ref().is_err_and(WriteError::is_away);
            stored.results.push(result(line, outcome));
        }
        if !self.is_rehearsal {
            for result in &stored.results {
                counts::line(Bulk::Patch, result.status());
            }
        }
        stored
    }
}

impl PatchMany {
    fn parse(&self, line: &Line) -> Result<BulkLine, WriteError> {
        let text = line.text.as_ref().ok_or(WriteError::LineTooLong)?;
        let parsed = PatchLine::parse(text)?;
        Ok(BulkLine { line: parsed, once: self.key.as_ref().map(|key| key.once(line.number, text)) })
    }
}

fn result(line: u64, outcome: Outcome) -> BulkResult {
    let error = match outcome {
        Ok((Done::Created(product) | Done::Patched(product), _)) => {
            return done(line, StatusCode::OK, ProductLine::from(&product));
        }
        Ok((Done::Repeated(first), _)) => match (first.line(), first.problem()) {
            (Some(product), _) => return done(line, first.status(), product),
            (_, Some(problem)) => return refused_with(line, problem),
            (None, None) => sqlx::Error::RowNotFound.into(),
        },
        Ok((Done::Deleted(..), _)) => unreachable!("a line deletes nothing"),
        Err(error) => error,
    };
    error.log();
    refused(line, &error)
}

impl utoipa::PartialSchema for PatchManyLines {
    fn schema() -> RefOr<Schema> {
        let description = "One change a line, each a `PatchLine`";
        Schema::Object(ObjectBuilder::new().schema_type(Type::String).description(Some(description)).build()).into()
    }
}

impl ToSchema for PatchManyLines {
    fn name() -> Cow<'static, str> {
        "PatchLines".into()
    }
}
