//! One turn of the leader: what the last one has published is settled, what is pending goes into the stream, then a heartbeat.
//!
//! The order of the steps carries the proof. The stream's end is known before the rows are read (but see
//! [`Leader::break_in`]); `t` and `h` are read before the snapshot of the rows; the position is read after it; rows are
//! deleted after the stream's answers; and nothing follows a turn in the stream before that is settled, so that any message
//! says of all earlier turns that they are.

use std::time::Instant;

use async_nats::jetstream;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use catalog::ProductId;
use events::{ChangeKind, Envelope, Heartbeat, Position, Stamp};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use uuid::Uuid;

use super::epoch::{Epoch, StreamEnd, Verdict, decide};
use super::measures::{self, PrimaryClock};
use super::outbox::{self, Pending, Published, Snapshot};
use super::session::Session;
use super::stream::{self, Outgoing, Tail};

/// Rows of one turn: some tens of milliseconds of publishing, and with the longest texts some 50 MB in memory.
const ROWS_MAX: usize = 500;

/// What a turn has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Events that went into the stream.
    pub published: usize,
    /// Whether rows were left out, so that the next turn should follow at once.
    pub has_more: bool,
}

/// Why a turn did not end well.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("the leader's database session failed")]
    Database(#[from] sqlx::Error),
    #[error("the stream could not be read or written")]
    Stream(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the stream does not end at {expected}, where it was left")]
    Fenced { expected: u64 },
    #[error("another relay has stored a later mark")]
    Overtaken,
    #[error("the stream is in epoch {stream}, this primary in {ours}: another primary has taken over")]
    Deposed { stream: u64, ours: u64 },
    #[error("outbox row {id} cannot be read: {reason}")]
    Unreadable { id: i64, reason: String },
    #[error("an epoch is to begin, which is left to a session that was just opened: this one's server may be replaced")]
    StaleSession,
    #[error("the turn took too long")]
    TimedOut,
}

impl RelayError {
    pub(super) fn stream(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Stream(Box::new(error))
    }

    /// Whether the session, and with it the lock, must be taken as lost.
    pub(super) const fn is_session_lost(&self) -> bool {
        matches!(self, Self::Database(_) | Self::StaleSession | Self::TimedOut)
    }

    /// Every word in metrics.
    pub(super) const WORDS: [&str; 8] =
        ["database", "stream", "fenced", "overtaken", "deposed", "unreadable", "stale_session", "timed_out"];

    /// The word in metrics.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Database(_) => "database",
            Self::Stream(_) => "stream",
            Self::Fenced { .. } => "fenced",
            Self::Overtaken => "overtaken",
            Self::Deposed { .. } => "deposed",
            Self::Unreadable { .. } => "unreadable",
            Self::StaleSession => "stale_session",
            Self::TimedOut => "timed_out",
        }
    }
}

/// The one relay that may publish.
pub struct Leader {
    session: Session,
    context: jetstream::Context,
    /// What this leader's own last turn has published, to be settled with the next one; forgotten after any failure.
    published: Option<Published>,
}

impl Leader {
    pub const fn new(session: Session, context: jetstream::Context) -> Self {
        Self { session, context, published: None }
    }

    /// Takes nothing in memory for granted: the next turn reads the stream again.
    pub fn forget_stream(&mut self) {
        self.published = None;
    }

    /// Does one turn.
    pub async fn turn(&mut self) -> Result<Turn, RelayError> {
        let begun = Instant::now();
        let turn = match self.published.take() {
            Some(published) => self.go_on(published).await,
            None => self.begin().await,
        }?;
        measures::turned(begun);
        Ok(turn)
    }

    /// A turn that first finds out how the stream ends, which epoch it is, and what the stream already holds.
    ///
    /// An epoch is begun only on a server that the URL leads to now. The old session of an old primary could otherwise
    /// outbid its successor when the stream has lost the successor's epoch, and that would take itself for the old one.
    async fn begin(&mut self) -> Result<Turn, RelayError> {
        let may_begin_epoch = self.session.is_just_opened();
        let (stream, tail) = stream::learn(&self.context).await?;
        let snapshot = self.snapshot(None, ROWS_MAX).await?;
        let epoch = &snapshot.epoch;
        let end = StreamEnd {
            last_sequence: tail.sequence,
            last_epoch: tail.epoch,
            id_at_mark: id_at_mark(&stream, &tail, epoch).await?,
        };
        match decide(epoch, end, unix_ms(snapshot.t)) {
            Verdict::Deposed => Err(RelayError::Deposed { stream: tail.epoch, ours: epoch.number }),
            Verdict::Begin(_) if !may_begin_epoch => Err(RelayError::StaleSession),
            Verdict::Begin(number) => {
                let connection = &mut self.session.connection;
                if !outbox::begin_epoch(connection, epoch, number, tail.sequence, tail.id).await? {
                    return Err(RelayError::Overtaken);
                }
                tracing::info!(epoch = number, before = epoch.number, "epoch_begun");
                measures::epoch_begun();
                Ok(Turn { published: 0, has_more: true })
            }
            Verdict::Continue if tail.is_before(epoch.number) => self.break_in(&stream, snapshot).await,
            Verdict::Continue => {
                let announced = stream::last_announced(&stream, epoch.number).await?;
                let tail = Tail { epoch: epoch.number, announced, ..tail };
                if tail.sequence == epoch.mark_sequence {
                    return self.publish(tail, &snapshot).await;
                }
                // By id, not among the rows read: others with smaller numbers may have become visible before them.
                let held = stream::ids_after(&stream, epoch.mark_sequence, &tail).await?;
                let rows = outbox::rows_of(&mut self.session.connection, &held).await?;
                self.published = Some(Published { tail, rows, position: snapshot.h });
                self.settle().await?;
                Ok(Turn { published: 0, has_more: true })
            }
        }
    }

    /// A turn that follows one of its own.
    async fn go_on(&mut self, published: Published) -> Result<Turn, RelayError> {
        let snapshot = self.snapshot_after(&published, ROWS_MAX).await?;
        self.publish(published.tail, &snapshot).await
    }

    /// Settles what the last turn has published, for a leader that takes no other.
    pub async fn settle(&mut self) -> Result<(), RelayError> {
        if let Some(published) = self.published.take() {
            self.snapshot_after(&published, 0).await?;
            self.published = Some(Published { rows: Vec::new(), ..published });
        }
        Ok(())
    }

    async fn snapshot_after(&mut self, published: &Published, rows_max: usize) -> Result<Snapshot, RelayError> {
        let snapshot = self.snapshot(Some(published), rows_max).await?;
        let (epoch, tail) = (&snapshot.epoch, &published.tail);
        let is_ours = epoch.number == tail.epoch
            && (epoch.mark_sequence, epoch.mark_id) == (tail.sequence, tail.id)
            && epoch.made_on_server_of == Some(epoch.server_started_at);
        if is_ours { Ok(snapshot) } else { Err(RelayError::Overtaken) }
    }

    /// Publishes the first message of an epoch that the stream does not know yet.
    ///
    /// The relay of an old primary may go on in the epoch before, with turn upon turn and never a pause. So the stream's
    /// end is read anew right before, as often as it takes, and what follows it is short. That is safe only here: without
    /// a message of this epoch in the stream, nobody can have sent these rows in it, or later ones. The first message
    /// fences the old relay off for good.
    async fn break_in(&mut self, stream: &Stream, snapshot: Snapshot) -> Result<Turn, RelayError> {
        let number = snapshot.epoch.number;
        let snapshot = snapshot.cut(1);
        loop {
            let end = stream::end(stream).await?;
            if !end.is_before(number) {
                return Err(RelayError::Overtaken);
            }
            let tail = Tail { epoch: number, announced: None, ..end };
            match self.publish(tail, &snapshot).await {
                Err(RelayError::Fenced { .. }) => {}
                turn => return turn,
            }
        }
    }

    async fn snapshot(&mut self, published: Option<&Published>, rows_max: usize) -> Result<Snapshot, RelayError> {
        let limit = i64::try_from(rows_max + 1).expect("the limit is small");
        Ok(outbox::snapshot(&mut self.session, published, limit).await?.cut(rows_max))
    }

    async fn publish(
        &mut self,
        tail: Tail,
        Snapshot { t, h, rows, has_more, position, .. }: &Snapshot,
    ) -> Result<Turn, RelayError> {
        let clock = PrimaryClock::showing(*t);
        let (position, has_more) = (if rows.is_empty() { *h } else { *position }, *has_more);
        let mut batch = Batch::new(tail, position);
        for row in rows {
            batch.push_event(row)?;
        }
        let published = batch.messages.len();
        // The claim of a heartbeat is that nothing before it is missing.
        if !has_more {
            batch.push_heartbeat(*t, *h);
        }
        let (messages, after) = (batch.messages, batch.tail);
        let sequence = stream::publish(&self.context, &tail, messages).await?;
        measures::published(clock, after.epoch, rows.iter().map(|row| row.created_at));
        let rows = rows.iter().map(|row| row.id).collect();
        self.published = Some(Published { tail: Tail { sequence, ..after }, rows, position });
        Ok(Turn { published, has_more })
    }
}

/// Messages of one turn, each naming the one before it.
struct Batch {
    tail: Tail,
    position: Position,
    messages: Vec<Outgoing>,
}

impl Batch {
    const fn new(tail: Tail, position: Position) -> Self {
        Self { tail, position, messages: Vec::new() }
    }

    fn stamp(&mut self, id: Uuid) -> Stamp {
        let epoch = events::Epoch(self.tail.epoch);
        let stamp = Stamp { epoch, position: self.position, previous: self.tail.link };
        (self.tail.id, self.tail.link) = (Some(id), Some(stamp.link(id)));
        stamp
    }

    fn push_event(&mut self, row: &Pending) -> Result<(), RelayError> {
        let unreadable = |reason: String| RelayError::Unreadable { id: row.id, reason };
        let kind = ChangeKind::from_word(&row.kind).ok_or_else(|| unreadable(format!("kind {:?}", row.kind)))?;
        let id = ProductId::try_from(row.product_id).map_err(|fault| unreadable(fault.to_string()))?;
        let data: &RawValue = serde_json::from_str(&row.data).map_err(|fault| unreadable(fault.to_string()))?;
        let stamp = self.stamp(row.event_id);
        let subject = Some(id.to_string());
        let envelope = Envelope {
            actor: row.actor.clone(),
            ..Envelope::new(row.event_id, &kind.event_type(), subject, row.created_at, stamp, data)
        };
        let payload = Bytes::from(envelope.to_json());
        self.messages.push(Outgoing { subject: kind.subject(id), payload });
        Ok(())
    }

    /// `t` is held still while the primary's clock is behind what was already announced in this epoch.
    fn push_heartbeat(&mut self, t: OffsetDateTime, h: Position) {
        let announced = self.tail.announced.unwrap_or(t);
        measures::clock_stepped_back(announced - t);
        let t = announced.max(t);
        self.tail.announced = Some(t);
        let id = Uuid::new_v4();
        let stamp = self.stamp(id);
        let (subject, payload) = Heartbeat { t, h }.to_message(id, stamp);
        self.messages.push(Outgoing { subject: subject.to_owned(), payload: payload.into() });
    }
}

/// The id of the message at the mark.
async fn id_at_mark(stream: &Stream, tail: &Tail, epoch: &Epoch) -> Result<Option<Uuid>, RelayError> {
    if epoch.mark_sequence == tail.sequence {
        return Ok(tail.id);
    }
    Ok(stream::message_at(stream, epoch.mark_sequence).await?.map(|message| message.id()))
}

fn unix_ms(t: OffsetDateTime) -> u64 {
    u64::try_from(t.unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}
