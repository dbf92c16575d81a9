//! The steps that the world may take.

use crate::world::{Source, Stage};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Insert { writer: usize, key: usize },
    Commit { writer: usize },
    Replay,
    Relay { number: usize, stage: Stage },
    Elect,
    Truncate { length: usize },
    Failover,
    Project { message: usize },
    LoseEntry { key: usize },
    Flush,
    Restore { key: usize },
    Follow { node: usize },
    PassHorizon { node: usize },
    Restart { node: usize, taken: usize },
    EvictNear { node: usize, key: usize },
    BeginFlight { node: usize, key: usize, source: Source },
    StepFlight { node: usize, step: usize },
    AnswerFromNear { node: usize, key: usize },
    AnswerFromRedis { node: usize, key: usize },
    Hold { node: usize, key: usize },
}

/// The kinds of steps that every search together must have taken; `Hold` belongs to mutations only.
pub(crate) const KINDS: [&str; 26] = [
    "insert",
    "commit",
    "replay",
    "learn",
    "select",
    "stamp",
    "publish",
    "settle",
    "elect",
    "truncate",
    "failover",
    "project",
    "lose an entry",
    "flush",
    "restore",
    "follow",
    "pass the horizon",
    "restart",
    "evict near",
    "ask the primary",
    "ask a replica",
    "ask the old primary",
    "query",
    "admit",
    "keep",
    "answer from redis",
];

impl Action {
    /// Where in [`KINDS`] it stands.
    pub(crate) fn kind(self) -> Option<usize> {
        Some(match self {
            Self::Insert { .. } => 0,
            Self::Commit { .. } => 1,
            Self::Replay => 2,
            Self::Relay { stage, .. } => 3 + stage as usize,
            Self::Elect => 8,
            Self::Truncate { .. } => 9,
            Self::Failover => 10,
            Self::Project { .. } => 11,
            Self::LoseEntry { .. } => 12,
            Self::Flush => 13,
            Self::Restore { .. } => 14,
            Self::Follow { .. } => 15,
            Self::PassHorizon { .. } => 16,
            Self::Restart { .. } => 17,
            Self::EvictNear { .. } => 18,
            Self::BeginFlight { source, .. } => 19 + source as usize,
            Self::StepFlight { step, .. } => 22 + step,
            Self::AnswerFromRedis { .. } => 25,
            Self::AnswerFromNear { .. } | Self::Hold { .. } => return None,
        })
    }
}
