//! The one step of the projector: fetch, apply, ack; or go on with what the last step could not finish.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::AckKind;
use cache::Cache;
use tokio::time::{Instant, timeout};

use crate::batch::Batch;
use crate::consumer::Consumer;
use crate::dead_letters;
use crate::error::ProjectError;
use crate::measures;

/// Entries in one round trip: with the longest texts some 6 MB, which a healthy Redis takes in well under its timeout.
const REFRESH_MAX: usize = 100;

/// Longest wait at the end for the last acks to leave; without them the batch is only repeated.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Applies events to what Redis holds.
pub struct Projector {
    consumer: Consumer,
    cache: Cache,
    /// Fetched and not finished: the next step goes on with it. No more is fetched meanwhile.
    held: Option<Batch>,
}

impl Projector {
    /// `ack_wait` is [`ACK_WAIT`](crate::ACK_WAIT) but in tests.
    pub fn new(nats: Client, cache: Cache, ack_wait: Duration) -> Self {
        Self { consumer: Consumer::new(nats, ack_wait), cache, held: None }
    }

    /// Applies the next events, waiting shortly for the first, and returns how many messages were taken.
    ///
    /// Acked only after Redis has answered, so a crash in between repeats them; a repeated event is older or equal and
    /// changes nothing.
    ///
    /// # Errors
    /// NATS or Redis is away. Nothing is lost: call again, later.
    pub async fn project_pending(&mut self) -> Result<usize, ProjectError> {
        let mut batch = if let Some(batch) = self.held.take() {
            batch
        } else {
            let asked = Instant::now();
            Batch::new(self.consumer.fetch().await?, asked)
        };
        let taken = batch.len();
        match self.finish(&mut batch).await {
            Ok(()) => Ok(taken),
            Err(error) => {
                self.keep_alive(&mut batch).await;
                self.held = Some(batch);
                Err(error)
            }
        }
    }

    /// How many events wait in the stream, if that can be known now.
    pub async fn pending(&self) -> Option<u64> {
        self.consumer.pending().await
    }

    /// Whether Redis answers.
    pub async fn ping_cache(&self) -> Result<(), ProjectError> {
        Ok(self.cache.ping().await?)
    }

    /// Gives what could not be finished to the other projectors at once, and lets the last acks leave.
    pub async fn release(self) {
        if !self.consumer.is_connected() {
            return;
        }
        for message in self.held.iter().flat_map(Batch::messages) {
            // Lost, it only comes again later.
            let _ = message.ack_with(AckKind::Nak(None)).await;
        }
        let _ = timeout(FLUSH_MAX, self.consumer.jetstream.client().flush()).await;
    }

    async fn finish(&self, batch: &mut Batch) -> Result<(), ProjectError> {
        if !batch.events.is_empty() {
            let mut written = 0;
            for entries in batch.entries().chunks(REFRESH_MAX) {
                written += self.cache.refresh(entries).await?;
            }
            for (message, _) in &batch.events {
                message.ack().await.map_err(ProjectError::Ack)?;
            }
            measures::applied(batch, written);
            batch.events.clear();
        }
        while let Some((message, reason)) = batch.undecodable.last() {
            dead_letters::keep(&self.consumer.jetstream, message, reason).await.map_err(ProjectError::DeadLetter)?;
            measures::dead_letter(reason);
            message.ack_with(AckKind::Term).await.map_err(ProjectError::Ack)?;
            batch.undecodable.pop();
        }
        Ok(())
    }

    /// Asks for more time before the server gives the messages to another projector.
    async fn keep_alive(&self, batch: &mut Batch) {
        // While NATS is away such requests would pile up, and the server's own clock decides anyway.
        if batch.kept_alive.elapsed() < self.consumer.ack_wait() / 2 || !self.consumer.is_connected() {
            return;
        }
        for message in batch.messages() {
            // Lost, the message only comes twice.
            let _ = message.ack_with(AckKind::Progress).await;
        }
        batch.kept_alive = Instant::now();
    }
}
