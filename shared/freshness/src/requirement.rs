//! What a read was asked to include: all tokens that came with it, and how an answer meets them.

use catalog::ProductId;
use events::{Epoch, Position};

use crate::{Log, Provenance, Token, TokenFault};

/// Tokens of one request at most: a client merges what several of its writers got; above it, one for each is enough.
pub const TOKENS_MAX: usize = 16;

/// Which kind of database has answered. It decides what its *R* proves about a token.
///
/// The *R* of a cached entry proves nothing: that of one made from an event is where the relay was, which may be past a
/// write that came between the relay's snapshot and its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Database {
    Replica,
    Primary,
}

impl Database {
    /// Whether a read that was at `read_at` before its query includes a write whose token says `token`.
    pub(crate) fn has_reached(self, read_at: Position, token: Position) -> bool {
        match self {
            // What a replica has replayed is visible there.
            Self::Replica => read_at >= token,
            // A commit record is in the log before the commit is visible, so that an equal position proves nothing.
            Self::Primary => read_at > token,
        }
    }
}

/// What the primary's position, read after the tokens had arrived, says about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// What this primary answers includes every write that is not lost.
    Met,
    /// A token is of a later epoch than this server's: it is an old primary, or the token is forged. Says nothing; 503.
    Elsewhere,
    /// No write of this epoch has got such a token: 400.
    Forged,
}

/// A failover that may have lost writes: what an epoch below `epoch` wrote past `kept_to` is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub epoch: Epoch,
    pub kept_to: Position,
}

/// All tokens of one request; each must be met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirement(Vec<Token>);

impl Requirement {
    /// Reads every value of the header, each with one token or several, comma-separated.
    pub fn parse<'v>(values: impl IntoIterator<Item = &'v str>) -> Result<Self, TokenFault> {
        let mut tokens: Vec<Token> = Vec::new();
        let texts = values.into_iter().flat_map(|value| value.split(',')).map(str::trim);
        for (before, text) in texts.filter(|text| !text.is_empty()).enumerate() {
            if before == TOKENS_MAX {
                return Err(TokenFault::TooMany { max: TOKENS_MAX });
            }
            let token = Token::parse(text)?;
            // One of the same epoch and product says less or more, never something else.
            let same = |held: &&mut Token| {
                held.epoch == token.epoch && held.product.map(|(id, _)| id) == token.product.map(|(id, _)| id)
            };
            match tokens.iter_mut().find(same) {
                Some(held) => {
                    held.position = held.position.max(token.position);
                    held.product = held.product.max(token.product);
                }
                None => tokens.push(token),
            }
        }
        Ok(Self(tokens))
    }

    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether to a node of this epoch only the primary can tell: a token is of another one, or of none.
    pub fn needs_primary(&self, epoch: Epoch) -> bool {
        self.0.iter().any(|token| token.epoch != epoch || token.epoch == Epoch(0))
    }

    /// What remains to be met by an answer that is looked for from now on and that the log admits; nothing, if caches may
    /// be asked as if nothing was required.
    pub fn beyond(&self, log: &Log) -> Self {
        Self(self.0.iter().filter(|token| !token.is_met_by_log(log)).copied().collect())
    }

    /// Whether an answer about one product includes every write, because each was made of that product.
    pub fn is_met_by_version(&self, product: ProductId, answer: Provenance) -> bool {
        self.0.iter().all(|token| token.is_met_by_version(product, answer))
    }

    /// Whether what a database answers includes every write; see [`Token::is_met_by_database`].
    pub fn is_met_by_database(&self, database: Database, epoch: Epoch, read_at: Position) -> bool {
        self.0.iter().all(|token| token.is_met_by_database(database, epoch, read_at))
    }

    /// Whether a token may be of a write that one of these failovers has lost: its version and position may have been
    /// used again, so that nothing else shows it. A token of no epoch is of none that was lost, for all that is known.
    pub fn may_be_lost(&self, cuts: &[Cut]) -> bool {
        self.0
            .iter()
            .filter(|token| token.epoch > Epoch(0))
            .any(|token| cuts.iter().any(|cut| token.epoch < cut.epoch && token.position > cut.kept_to))
    }

    /// Judges by the primary. `position` was read there after the tokens had arrived; `vouches` says whether the server
    /// has made its epoch since it was started: until then another history may have handed out tokens of this number,
    /// and their positions say nothing here.
    pub fn judge_by_primary(&self, epoch: Epoch, vouches: bool, position: Position) -> Judgement {
        let judgements = self.0.iter().map(|token| match token.epoch {
            later if later > epoch => Judgement::Elsewhere,
            same if same == epoch && vouches && token.position > position => Judgement::Forged,
            _ => Judgement::Met,
        });
        judgements.fold(Judgement::Met, |all, one| match (all, one) {
            (Judgement::Forged, _) | (_, Judgement::Forged) => Judgement::Forged,
            (Judgement::Elsewhere, _) | (_, Judgement::Elsewhere) => Judgement::Elsewhere,
            _ => Judgement::Met,
        })
    }
}

impl From<Token> for Requirement {
    fn from(token: Token) -> Self {
        Self(vec![token])
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use catalog::Version;
    use events::{Heartbeat, Message, Stamp};
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::*;

    const EPOCH: Epoch = Epoch(5);

    fn id(id: i64) -> ProductId {
        id.try_into().expect("positive")
    }

    fn version(version: i64) -> Version {
        version.try_into().expect("not negative")
    }

    fn token(epoch: u64, position: u64, product: Option<(i64, i64)>) -> Token {
        let product = product.map(|(product, at)| (id(product), version(at)));
        Token { epoch: Epoch(epoch), position: Position(position), product }
    }

    fn parsed(tokens: &[Token]) -> Result<Requirement, TokenFault> {
        let texts: Vec<String> = tokens.iter().map(|token| token.to_text()).collect();
        Requirement::parse([texts.join(", ").as_str()])
    }

    fn read(epoch: u64, at: i64) -> Provenance {
        Provenance { epoch: Epoch(epoch), version: version(at), read_at: Position(1) }
    }

    /// A log that has processed a heartbeat of position `h`.
    fn log_at(h: u64) -> Log {
        let mut log = Log::new(Duration::from_mins(10));
        let stamp = Stamp { epoch: EPOCH, position: Position(h), previous: None };
        let heartbeat = Heartbeat { t: OffsetDateTime::UNIX_EPOCH, h: Position(h) };
        log.apply(&Message::Heartbeat { id: Uuid::from_u128(1), stamp, heartbeat }, Duration::ZERO);
        log
    }

    #[test]
    fn several_tokens_become_one_for_each_epoch_and_product() {
        let same = [token(5, 100, Some((1, 3))), token(5, 90, Some((1, 4))), token(5, 80, None), token(5, 70, None)];
        let reduced = Requirement(vec![token(5, 100, Some((1, 4))), token(5, 80, None)]);
        assert_eq!(parsed(&same), Ok(reduced));
        assert_eq!(Requirement::parse(["", " , "]), Ok(Requirement::default()));
    }

    #[test]
    fn tokens_are_counted_over_all_values_of_the_header() {
        let text = token(5, 1, None).to_text();
        assert!(Requirement::parse([text.as_str(); TOKENS_MAX]).is_ok());
        assert_eq!(Requirement::parse([text.as_str(); TOKENS_MAX + 1]), Err(TokenFault::TooMany { max: TOKENS_MAX }));
    }

    #[test]
    fn a_token_of_another_epoch_or_of_none_needs_the_primary() {
        let needs_primary = |tokens: &[Token], epoch| parsed(tokens).map(|all| all.needs_primary(epoch));
        assert_eq!(needs_primary(&[], EPOCH), Ok(false));
        assert_eq!(needs_primary(&[token(5, 9, None), token(5, 12, Some((1, 1)))], EPOCH), Ok(false));
        for epoch in [0, 4, 6] {
            assert_eq!(needs_primary(&[token(5, 9, None), token(epoch, 12, None)], EPOCH), Ok(true), "{epoch}");
        }
        assert_eq!(needs_primary(&[token(0, 9, None)], Epoch(0)), Ok(true));
    }

    #[test]
    fn the_version_of_the_very_product_meets_a_token() {
        let written = Requirement::from(token(5, 100, Some((1, 3))));
        assert!(written.is_met_by_version(id(1), read(5, 3)));
        assert!(!written.is_met_by_version(id(1), read(5, 2)));
        assert!(!written.is_met_by_version(id(2), read(5, 3)));
        assert!(!written.is_met_by_version(id(1), read(6, 3)));
        assert!(!Requirement::from(token(5, 1, None)).is_met_by_version(id(1), read(5, 3)));
    }

    #[test]
    fn a_log_strictly_past_the_position_meets_a_token() {
        let written = Requirement::from(token(5, 100, None));
        assert_eq!(written.beyond(&log_at(100)), written);
        assert!(written.beyond(&log_at(101)).is_empty());
        assert!(!Requirement::from(token(4, 100, None)).beyond(&log_at(101)).is_empty());
        assert!(!Requirement::from(token(0, 100, None)).beyond(&Log::new(Duration::ZERO)).is_empty());
    }

    #[test]
    fn only_what_the_log_has_not_reached_remains_to_be_met() {
        let both = parsed(&[token(5, 100, None), token(5, 200, Some((1, 3)))]).map(|all| all.beyond(&log_at(150)));
        assert_eq!(both, Ok(Requirement::from(token(5, 200, Some((1, 3))))));
    }

    #[test]
    fn a_replica_at_the_position_and_a_primary_past_it_meet_a_token() {
        let written = Requirement::from(token(5, 100, None));
        let is_met = |database, read_at| written.is_met_by_database(database, EPOCH, Position(read_at));
        assert!(is_met(Database::Replica, 100) && !is_met(Database::Replica, 99));
        assert!(is_met(Database::Primary, 101) && !is_met(Database::Primary, 100));
        assert!(!written.is_met_by_database(Database::Replica, Epoch(6), Position(900)));
    }

    #[test]
    fn what_an_earlier_epoch_wrote_past_a_cut_may_be_lost() {
        let cuts = [Cut { epoch: Epoch(4), kept_to: Position(100) }, Cut { epoch: Epoch(6), kept_to: Position(200) }];
        let may_be_lost = |token| Requirement::from(token).may_be_lost(&cuts);
        assert!(may_be_lost(token(3, 101, None)) && !may_be_lost(token(3, 100, None)));
        assert!(
            may_be_lost(token(5, 201, None)) && !may_be_lost(token(5, 200, None)) && !may_be_lost(token(4, 150, None))
        );
        assert!(!may_be_lost(token(6, 900, None)) && !may_be_lost(token(0, 900, None)));
    }

    #[test]
    fn only_a_primary_that_vouches_for_its_epoch_can_call_a_token_forged() {
        let judge =
            |tokens: &[Token], vouches| parsed(tokens).map(|all| all.judge_by_primary(EPOCH, vouches, Position(100)));
        assert_eq!(judge(&[token(5, 100, None), token(4, 900, None)], true), Ok(Judgement::Met));
        assert_eq!(judge(&[token(6, 1, None), token(5, 101, None)], true), Ok(Judgement::Forged));
        assert_eq!(judge(&[token(6, 1, None), token(5, 100, None)], true), Ok(Judgement::Elsewhere));
        assert_eq!(judge(&[token(5, 101, None)], false), Ok(Judgement::Met));
        assert_eq!(judge(&[token(6, 1, None), token(5, 101, None)], false), Ok(Judgement::Elsewhere));
    }
}
