//! What `Cache-Status` (RFC 9211) says: which tier answered, and why not the one before.

use std::fmt;

use crate::demand::Demand;
use crate::sources::Source;

/// How far a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// All that was asked for was kept near.
    Near,
    /// Redis had what was not.
    Redis(NearMiss),
    Forwarded {
        why: Forward,
        source: Source,
        is_stored: bool,
        is_collapsed: bool,
        near: NearMiss,
    },
}

/// Why what is kept near did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NearMiss {
    /// This node keeps nothing near.
    Unused,
    /// The log has been silent for too long.
    Silence,
    Missing {
        is_stored: bool,
    },
    /// What was there may have changed.
    Stale {
        is_stored: bool,
    },
    /// Some of what was asked for was there.
    Partial,
    /// The request wants no answer from there.
    Request {
        is_stored: bool,
    },
}

/// Why Redis did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// It was not asked, or gave no answer.
    Bypass,
    Missing,
    /// What it held may not be served.
    Stale,
    /// It had some of what was asked for.
    Partial,
    /// The request wants no answer from there.
    Request,
}

impl NearMiss {
    /// With what became of the answer: whether all of it is kept near now.
    pub(crate) const fn stored(self, is_stored: bool) -> Self {
        match self {
            Self::Stale { .. } => Self::Stale { is_stored },
            Self::Missing { .. } => Self::Missing { is_stored },
            Self::Request { .. } => Self::Request { is_stored },
            other => other,
        }
    }
}

impl Trace {
    /// The word for the lowest tier that was needed, in metrics.
    pub(crate) const fn tier(self) -> &'static str {
        match self {
            Self::Near => "near",
            Self::Redis(_) => "redis",
            Self::Forwarded { source, .. } => source.word(),
        }
    }

    /// Of an answer that no cache was asked for.
    pub(crate) const fn past(demand: &Demand, source: Source) -> Self {
        let (why, near) = (if demand.no_cache { Forward::Request } else { Forward::Bypass }, NearMiss::Unused);
        Self::Forwarded { why, source, is_stored: false, is_collapsed: false, near }
    }
}

impl Trace {
    /// The same, of an attempt that somebody else had begun, or not.
    pub(crate) const fn collapsed(self, is_collapsed: bool) -> Self {
        match self {
            Self::Near | Self::Redis(_) => self,
            Self::Forwarded { why, source, is_stored, near, .. } => {
                Self::Forwarded { why, source, is_stored, is_collapsed, near }
            }
        }
    }

    /// The same, with another word about what is kept near.
    pub(crate) const fn with_near(self, near: NearMiss) -> Self {
        match self {
            Self::Near => self,
            Self::Redis(_) => Self::Redis(near),
            Self::Forwarded { why, source, is_stored, is_collapsed, .. } => {
                Self::Forwarded { why, source, is_stored, is_collapsed, near }
            }
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (why, source, is_stored, is_collapsed, near) = match self {
            Self::Near => return f.write_str("near; hit"),
            Self::Redis(near) => return write!(f, "redis; hit{near}"),
            Self::Forwarded { why, source, is_stored, is_collapsed, near } => {
                (why, source, is_stored, is_collapsed, near)
            }
        };
        let why = match why {
            Forward::Bypass => "bypass",
            Forward::Missing => "uri-miss",
            Forward::Stale => "stale",
            Forward::Partial => "partial",
            Forward::Request => "request",
        };
        write!(f, "redis; fwd={why}; detail={}", source.word())?;
        if *is_stored {
            f.write_str("; stored")?;
        }
        if *is_collapsed {
            f.write_str("; collapsed")?;
        }
        near.fmt(f)
    }
}

impl fmt::Display for NearMiss {
    /// The member that follows those of the tiers below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unused => "",
            Self::Silence => ", near; fwd=bypass; detail=log-silent",
            Self::Missing { is_stored: false } => ", near; fwd=uri-miss",
            Self::Missing { is_stored: true } => ", near; fwd=uri-miss; stored",
            Self::Stale { is_stored: false } => ", near; fwd=stale",
            Self::Stale { is_stored: true } => ", near; fwd=stale; stored",
            Self::Partial => ", near; fwd=partial",
            Self::Request { is_stored: false } => ", near; fwd=request",
            Self::Request { is_stored: true } => ", near; fwd=request; stored",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_in_the_form_of_rfc_9211() {
        assert_eq!(Trace::Near.to_string(), "near; hit");
        assert_eq!(Trace::Redis(NearMiss::Unused).to_string(), "redis; hit");
        let stored = NearMiss::Missing { is_stored: true };
        assert_eq!(Trace::Redis(stored).to_string(), "redis; hit, near; fwd=uri-miss; stored");
        let past = |no_cache| Trace::past(&Demand { no_cache, ..Demand::default() }, Source::Primary).to_string();
        assert_eq!(past(false), "redis; fwd=bypass; detail=primary");
        assert_eq!(past(true), "redis; fwd=request; detail=primary");
        let missed = |why, is_stored, is_collapsed| {
            let near = NearMiss::Silence;
            let trace = Trace::Forwarded { why, source: Source::Replica, is_stored, is_collapsed, near }.to_string();
            trace.strip_suffix(", near; fwd=bypass; detail=log-silent").expect("the member comes last").to_owned()
        };
        assert_eq!(missed(Forward::Missing, true, false), "redis; fwd=uri-miss; detail=replica; stored");
        assert_eq!(missed(Forward::Stale, false, true), "redis; fwd=stale; detail=replica; collapsed");
        assert_eq!(missed(Forward::Partial, false, false), "redis; fwd=partial; detail=replica");
    }
}
