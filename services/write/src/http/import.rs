//! `POST /products` with `application/x-ndjson`: stores products while they arrive, and answers each in order.
//!
//! The answer's body drives the work: a batch is read and stored only when the connection has room for its results.
//! So memory is bounded by one batch, a client that does not read stops being read, and one that leaves ends the work.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bootstrap::{Problem, RequestContext, in_request};
use catalog::{NewProduct, ProductId, Sku, Version};
use events::{Epoch, Position};
use futures_util::stream;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use super::body::NDJSON;
use super::lines::{Line, Lines};
use crate::app::Primary;
use crate::commit::{self, BatchResult, Upserted};
use crate::counts::{self, LineResult};
use crate::error::WriteError;
use crate::keys::Permit;
use crate::store::Moment;

/// One transaction: enough to spread its cost, and few enough to hold its locks for only tens of milliseconds.
const BATCH_LINES_MAX: usize = 500;

/// Bounds the memory of one import; 500 usual lines are far below.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How long a batch that has a line waits for more: they come within microseconds from a client that has them.
const GATHER_WAIT_MAX: Duration = Duration::from_millis(5);

/// How long a client may send nothing: generous to one that works for each line, but an abandoned connection ends.
const SILENCE_MAX: Duration = Duration::from_mins(10);

/// What an import sends: documented as text, because `OpenAPI` 3.1 has no word for lines.
pub(super) struct ImportLines;

/// What became of one line
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ImportResult {
    Imported(ImportedLine),
    Refused(RefusedLine),
    Token(ImportToken),
}

/// The line is stored
#[derive(Serialize, ToSchema)]
pub(super) struct ImportedLine {
    /// The line's number, counted from 1
    #[schema(minimum = 1)]
    line: u64,
    /// 201 if the product was created, 200 if it was changed or already is as the line says
    #[schema(minimum = 200, maximum = 201)]
    status: u16,
    id: ProductId,
    sku: Sku,
    version: Version,
}

/// The line is not stored
#[derive(Serialize, ToSchema)]
pub(super) struct RefusedLine {
    /// The line's number, counted from 1
    #[schema(minimum = 1)]
    line: u64,
    /// The status that a request with this line alone would have got
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    problem: Problem,
}

/// The last line: what to send with a read that must include the whole import
#[derive(Serialize, ToSchema)]
pub(super) struct ImportToken {
    consistency_token: String,
}

/// Answers at once, and stores lines while the answer's body is read.
pub(super) fn import(primary: Primary, permit: Permit, body: Body) -> Response {
    let lines = Lines::new(body);
    let import = Import { primary, permit, lines, end: None, stored_to: BTreeMap::new(), is_token_due: false };
    let request = RequestContext::current();
    let results = stream::unfold(import, move |mut import| {
        in_request(request.clone(), async move { import.step().await.map(|results| (results, import)) })
    });
    ([(header::CONTENT_TYPE, NDJSON), (header::CACHE_CONTROL, "no-store")], Body::from_stream(results)).into_response()
}

struct Import {
    primary: Primary,
    permit: Permit,
    lines: Lines,
    /// Why nothing more is read, once that is so.
    end: Option<End>,
    /// The last position of each epoch that lines were stored in.
    stored_to: BTreeMap<Epoch, Position>,
    /// Whether lines were answered, and their token not yet.
    is_token_due: bool,
}

enum End {
    /// After the last line, or after the answer to a failure.
    Clean,
    Silent,
    /// The client broke off; so does the answer.
    Broken(axum::Error),
}

impl Import {
    /// Stores one batch and returns its result lines; `None` at the end.
    async fn step(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let batch = self.gather().await;
        if !batch.is_empty() {
            self.is_token_due = true;
            return Some(Ok(self.store(batch).await.into()));
        }
        match self.end.replace(End::Clean)? {
            End::Clean if std::mem::take(&mut self.is_token_due) => {
                let consistency_token = self.token().await;
                Some(Ok(written(&ImportResult::Token(ImportToken { consistency_token })).into()))
            }
            End::Clean => None,
            End::Silent => {
                let refused = refused(self.lines.count() + 1, &WriteError::Silent(SILENCE_MAX));
                Some(Ok(written(&refused).into()))
            }
            End::Broken(error) => Some(Err(error)),
        }
    }

    /// Waits for a line, and takes the lines that come with it.
    async fn gather(&mut self) -> Vec<Line> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut deadline = Instant::now() + SILENCE_MAX;
        while self.end.is_none() && batch.len() < BATCH_LINES_MAX && bytes < BATCH_BYTES_MAX {
            match timeout_at(deadline, self.lines.next()).await {
                Ok(Some(Ok(line))) => {
                    if batch.is_empty() {
                        deadline = Instant::now() + GATHER_WAIT_MAX;
                    }
                    bytes += line.text.as_ref().map_or(0, Bytes::len);
                    batch.push(line);
                }
                Ok(Some(Err(error))) => self.end = Some(End::Broken(error)),
                Ok(None) => self.end = Some(End::Clean),
                Err(_) if batch.is_empty() => self.end = Some(End::Silent),
                Err(_) => break,
            }
        }
        batch
    }

    /// As the header takes it: one token, or several, separated by commas, when the primary has changed meanwhile.
    async fn token(&mut self) -> String {
        let mut tokens: Vec<String> = Vec::new();
        for (&epoch, &position) in &self.stored_to {
            tokens.push(Moment { epoch, position }.token(None).to_text());
        }
        if tokens.is_empty() {
            tokens.push(commit::moment_now(&self.primary).await.token(None).to_text());
        }
        tokens.join(", ")
    }

    /// Stores what can be stored of a batch, and answers each of its lines.
    async fn store(&mut self, batch: Vec<Line>) -> Vec<u8> {
        let mut products = Vec::with_capacity(batch.len());
        let read: Vec<(u64, Result<(), WriteError>)> = batch
            .into_iter()
            .map(|line| (line.number, parse(line.text).map(|product| products.push(product))))
            .collect();

        // An import may take hours, and its key be revoked meanwhile.
        let BatchResult { done, failure, moments } = match self.permit.renew().await {
            Ok(()) => commit::upsert(&self.primary, &products).await,
            Err(refusal) => BatchResult { done: Vec::new(), failure: Some(refusal.into()), moments: Vec::new() },
        };
        for Moment { epoch, position } in moments {
            let stored_to = self.stored_to.entry(epoch).or_default();
            *stored_to = position.max(*stored_to);
        }
        if let Some(failure) = &failure {
            failure.log();
            self.end = Some(End::Clean);
        }

        let mut done = products.into_iter().map(|product| product.sku).zip(done);
        let mut answer = Vec::new();
        for (line, read) in read {
            let result = match read.map(|()| done.next()) {
                Ok(Some((sku, Ok(stored)))) => imported(line, sku, &stored),
                Ok(Some((_, Err(error)))) => {
                    error.log();
                    refused(line, &error)
                }
                Ok(None) => refused(line, failure.as_ref().expect("what was not done has a reason")),
                Err(refusal) => refused(line, &refusal),
            };
            answer.extend(written(&result));
        }
        answer
    }
}

fn refused(line: u64, error: &WriteError) -> ImportResult {
    let problem = error.problem();
    let status = problem.status();
    counts::line(if status.is_server_error() { LineResult::Failed } else { LineResult::Refused });
    ImportResult::Refused(RefusedLine { line, status: status.as_u16(), problem })
}

fn parse(text: Option<Bytes>) -> Result<NewProduct, WriteError> {
    let text = text.ok_or(WriteError::LineTooLong)?;
    Ok(NewProduct::parse(&text)?)
}

fn imported(line: u64, sku: Sku, stored: &Upserted) -> ImportResult {
    counts::line(if stored.is_new { LineResult::Created } else { LineResult::Kept });
    let status = if stored.is_new { StatusCode::CREATED } else { StatusCode::OK };
    ImportResult::Imported(ImportedLine { line, status: status.as_u16(), id: stored.id, sku, version: stored.version })
}

fn written(result: &ImportResult) -> Vec<u8> {
    let mut json = serde_json::to_vec(result).expect("a result has string keys and no failing serializer");
    json.push(b'\n');
    json
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
