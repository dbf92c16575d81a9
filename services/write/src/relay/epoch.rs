//! Decides whether the relay goes on in the present epoch, begins a new one, or belongs to an old primary. Pure.

use time::OffsetDateTime;
use uuid::Uuid;

/// The row of the table `epoch`, and when the server that answers was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// 0 until the first epoch is made.
    pub number: u64,
    /// When the server was started that the epoch was made on.
    pub made_on_server_of: Option<OffsetDateTime>,
    /// When the server that answers was started.
    pub server_started_at: OffsetDateTime,
    /// The last message of the stream that the relay has vouched for; 0 and none for an empty stream.
    pub mark_sequence: u64,
    pub mark_id: Option<Uuid>,
}

/// The end of the stream, and what it holds where the mark is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamEnd {
    /// The sequence of the last message; 0 for an empty stream.
    pub(super) last_sequence: u64,
    /// The epoch of the last message; 0 if there is none.
    pub(super) last_epoch: u64,
    /// The id of the message at the mark, if there is one.
    pub(super) id_at_mark: Option<Uuid>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Continue,
    /// Begin the epoch of this number.
    Begin(u64),
    /// A higher epoch on a server that was not restarted: a promoted replica has taken over.
    Deposed,
}

/// The rules of the epoch, in the order in which they bind. `clock_ms` is the clock in Unix milliseconds: it is in the
/// number because a promotion can lose the row together with the end of the stream, and a mere counter would repeat.
pub(super) fn decide(epoch: &Epoch, end: StreamEnd, clock_ms: u64) -> Verdict {
    let next = clock_ms.max(epoch.number + 1).max(end.last_epoch + 1);
    let is_restarted = epoch.number == 0 || epoch.made_on_server_of != Some(epoch.server_started_at);
    if is_restarted {
        return Verdict::Begin(next);
    }
    if end.last_epoch > epoch.number {
        return Verdict::Deposed;
    }
    let is_shorter = end.last_sequence < epoch.mark_sequence;
    if is_shorter || end.id_at_mark != epoch.mark_id {
        return Verdict::Begin(next);
    }
    Verdict::Continue
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    const CLOCK_MS: u64 = 2_000;

    fn kept() -> (Epoch, StreamEnd) {
        let mark_id = Some(Uuid::from_u128(7));
        let epoch = Epoch {
            number: 1_000,
            made_on_server_of: Some(OffsetDateTime::UNIX_EPOCH),
            server_started_at: OffsetDateTime::UNIX_EPOCH,
            mark_sequence: 40,
            mark_id,
        };
        (epoch, StreamEnd { last_sequence: 45, last_epoch: 1_000, id_at_mark: mark_id })
    }

    #[test]
    fn the_epoch_goes_on_while_the_server_and_the_mark_are_the_same() {
        let (epoch, end) = kept();
        assert_eq!(decide(&epoch, end, CLOCK_MS), Verdict::Continue);
    }

    #[test]
    fn a_restarted_or_promoted_server_begins_a_new_epoch_even_above_a_higher_one() {
        let (epoch, end) = kept();
        let restarted = Epoch { server_started_at: OffsetDateTime::UNIX_EPOCH + Duration::SECOND, ..epoch.clone() };
        assert_eq!(decide(&restarted, end, CLOCK_MS), Verdict::Begin(CLOCK_MS));
        let ahead = StreamEnd { last_epoch: 9_000, ..end };
        assert_eq!(decide(&restarted, ahead, CLOCK_MS), Verdict::Begin(9_001));
        let fresh = Epoch { number: 0, made_on_server_of: None, mark_sequence: 0, mark_id: None, ..epoch };
        assert_eq!(decide(&fresh, StreamEnd::default(), CLOCK_MS), Verdict::Begin(CLOCK_MS));
    }

    #[test]
    fn an_old_primary_learns_that_it_was_replaced() {
        let (epoch, end) = kept();
        assert_eq!(decide(&epoch, StreamEnd { last_epoch: 1_001, ..end }, CLOCK_MS), Verdict::Deposed);
    }

    #[test]
    fn a_stream_that_lost_the_mark_begins_a_new_epoch_whatever_its_length() {
        let (epoch, end) = kept();
        let shorter = StreamEnd { last_sequence: 39, id_at_mark: None, ..end };
        assert_eq!(decide(&epoch, shorter, CLOCK_MS), Verdict::Begin(CLOCK_MS));
        let regrown = StreamEnd { id_at_mark: Some(Uuid::from_u128(8)), ..end };
        assert_eq!(decide(&epoch, regrown, CLOCK_MS), Verdict::Begin(CLOCK_MS));
    }

    #[test]
    fn a_number_is_never_used_twice_even_when_the_clock_steps_back() {
        let (epoch, end) = kept();
        let regrown = StreamEnd { id_at_mark: None, ..end };
        assert_eq!(decide(&epoch, regrown, 5), Verdict::Begin(1_001));
    }
}
