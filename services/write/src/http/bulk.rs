//! A stream of lines: read while they arrive, worked off in batches, each line answered in order.
//!
//! The answer's body drives the work: a batch is read and stored only when the connection has room for its results.
//! So memory is bounded by one batch, a client that does not read stops being read, and one that leaves ends the work.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bootstrap::{RequestContext, in_request};
use events::{Epoch, Position};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::body::NDJSON;
use super::lines::{Line, Lines};
use super::results::{BulkEnd, BulkResult, refused};
use crate::app::App;
use crate::commit;
use crate::error::WriteError;
use crate::keys::Permit;
use crate::store::Moment;

/// Bounds the memory of one bulk; the usual lines of a batch are far below.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// How long a batch that has a line waits for more: they come within microseconds from a client that has them.
const GATHER_WAIT_MAX: Duration = Duration::from_millis(5);

/// How long a client may send nothing: generous to one that works for each line, but an abandoned connection ends.
const SILENCE_MAX: Duration = Duration::from_mins(10);

/// Longest pause after a batch while single changes are waiting: several of their transactions.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// What is done with lines.
pub(super) trait Work: Send + 'static {
    /// Lines of one batch.
    const LINES_MAX: usize;

    /// What the last line says of it.
    fn end(&self) -> Ending;

    /// Does what can be done, and answers each line.
    fn store(&mut self, batch: Vec<Line>) -> impl Future<Output = Stored> + Send;
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Stored {
    /// Of each line, in order.
    pub(super) results: Vec<BulkResult>,
    pub(super) moments: Vec<Moment>,
    /// Nothing more is to be read: the database has gone away.
    pub(super) has_failed: bool,
}

/// What the last line tells beside its token.
pub(super) enum Ending {
    /// The id that all changes bear.
    Stored(Uuid),
    Rehearsed,
}

/// Answers at once, and works lines off while the answer's body is read.
///
/// # Errors
/// Too many are under way.
pub(super) fn answer(app: App, permit: Permit, body: Body, work: impl Work) -> Result<Response, WriteError> {
    let place = app.bulks.clone().try_acquire_owned().map_err(|_| WriteError::TooManyBulks)?;
    let bulk = Bulk {
        app,
        permit,
        work,
        lines: Lines::new(body),
        end: None,
        stored_to: BTreeMap::new(),
        is_token_due: false,
        pause_to: Instant::now(),
        _place: place,
    };
    let request = RequestContext::current();
    let results = stream::unfold(bulk, move |mut bulk| {
        in_request(request.clone(), async move { bulk.step().await.map(|results| (results, bulk)) })
    });
    let headers = [(header::CONTENT_TYPE, NDJSON), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(results)).into_response())
}

struct Bulk<W> {
    app: App,
    permit: Permit,
    work: W,
    lines: Lines,
    /// Why nothing more is read, once that is so.
    end: Option<End>,
    /// The last position of each epoch that lines were stored in.
    stored_to: BTreeMap<Epoch, Position>,
    /// Whether lines were answered, and their token not yet.
    is_token_due: bool,
    /// While single changes wait, the next batch waits until then: it leaves them as much time as the last one took.
    pause_to: Instant,
    _place: OwnedSemaphorePermit,
}

enum End {
    /// After the last line, or after the answer to a failure.
    Clean,
    Silent,
    /// The client broke off; so does the answer.
    Broken(axum::Error),
}

impl<W: Work> Bulk<W> {
    /// Works one batch off and returns its result lines; `None` at the end.
    async fn step(&mut self) -> Option<Result<Bytes, axum::Error>> {
        let batch = self.gather().await;
        if !batch.is_empty() {
            self.is_token_due = true;
            return Some(Ok(self.store(batch).await));
        }
        match self.end.replace(End::Clean)? {
            End::Clean if std::mem::take(&mut self.is_token_due) => {
                let tokens = self.tokens().await;
                let (bulk_id, dry_run) = match self.work.end() {
                    Ending::Stored(id) => (Some(id), None),
                    Ending::Rehearsed => (None, Some(true)),
                };
                Some(Ok(written(&[BulkResult::End(BulkEnd { consistency_token: tokens, bulk_id, dry_run })])))
            }
            End::Clean => None,
            End::Silent => Some(Ok(written(&[refused(self.lines.count() + 1, &WriteError::Silent(SILENCE_MAX))]))),
            End::Broken(error) => Some(Err(error)),
        }
    }

    /// Waits for a line, and takes the lines that come with it.
    async fn gather(&mut self) -> Vec<Line> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut deadline = Instant::now() + SILENCE_MAX;
        while self.end.is_none() && batch.len() < W::LINES_MAX && bytes < BATCH_BYTES_MAX {
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

    async fn store(&mut self, batch: Vec<Line>) -> Bytes {
        self.app.patches.give_way(self.pause_to).await;
        let begun = Instant::now();
        // A bulk may take hours, and its key be revoked meanwhile.
        let Stored { results, moments, has_failed } = match self.permit.renew().await {
            Ok(()) => self.work.store(batch).await,
            Err(refusal) => refused_as_a_whole(&batch, &refusal.into()),
        };
        self.pause_to = Instant::now() + begun.elapsed().min(PAUSE_MAX);
        for Moment { epoch, position } in moments {
            let stored_to = self.stored_to.entry(epoch).or_default();
            *stored_to = position.max(*stored_to);
        }
        if has_failed {
            self.end = Some(End::Clean);
        }
        written(&results)
    }

    /// As the header takes it: one token, or several, separated by commas, when the primary has changed meanwhile.
    async fn tokens(&mut self) -> String {
        let stored_to = self.stored_to.iter().map(|(&epoch, &position)| Moment { epoch, position });
        let mut tokens: Vec<String> = stored_to.map(|moment| moment.token(None).to_text()).collect();
        if tokens.is_empty() {
            tokens.push(commit::moment_now(&self.app.primary).await.token(None).to_text());
        }
        tokens.join(", ")
    }
}

fn refused_as_a_whole(batch: &[Line], refusal: &WriteError) -> Stored {
    refusal.log();
    let results = batch.iter().map(|line| refused(line.number, refusal)).collect();
    Stored { results, moments: Vec::new(), has_failed: true }
}

fn written(results: &[BulkResult]) -> Bytes {
    let mut lines = Vec::new();
    for result in results {
        serde_json::to_writer(&mut lines, result).expect("a result has string keys and no failing serializer");
        lines.push(b'\n');
    }
    lines.into()
}
