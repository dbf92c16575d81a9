//! What `Cache-Status` (RFC 9211) says: which tier answered, and why not the one before.

use std::fmt;

use crate::sources::Source;

/// How far a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trace {
    /// Redis had all that was asked for.
    Hit,
    Forwarded {
        why: Forward,
        source: Source,
        is_stored: bool,
        is_collapsed: bool,
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
}

impl Trace {
    /// Of an answer that is not kept in Redis.
    pub(crate) const fn bypassed(source: Source) -> Self {
        Self::Forwarded { why: Forward::Bypass, source, is_stored: false, is_collapsed: false }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Forwarded { why, source, is_stored, is_collapsed } = self else {
            return f.write_str("redis; hit");
        };
        let why = match why {
            Forward::Bypass => "bypass",
            Forward::Missing => "uri-miss",
            Forward::Stale => "stale",
            Forward::Partial => "partial",
        };
        write!(f, "redis; fwd={why}; detail={}", source.word())?;
        if *is_stored {
            f.write_str("; stored")?;
        }
        if *is_collapsed {
            f.write_str("; collapsed")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_in_the_form_of_rfc_9211() {
        assert_eq!(Trace::Hit.to_string(), "redis; hit");
        assert_eq!(Trace::bypassed(Source::Primary).to_string(), "redis; fwd=bypass; detail=primary");
        let missed = |why, is_stored, is_collapsed| {
            Trace::Forwarded { why, source: Source::Replica, is_stored, is_collapsed }.to_string()
        };
        assert_eq!(missed(Forward::Missing, true, false), "redis; fwd=uri-miss; detail=replica; stored");
        assert_eq!(missed(Forward::Stale, false, true), "redis; fwd=stale; detail=replica; collapsed");
        assert_eq!(missed(Forward::Partial, false, false), "redis; fwd=partial; detail=replica");
    }
}
