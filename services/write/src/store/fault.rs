//! What an error of the database means for whoever asked.

/// The kinds of errors that are answered differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Postgres is away, starting, stopping, read-only or overloaded: a retry later helps.
    Away,
    /// Another transaction was in the way: a retry at once helps.
    Conflict,
    /// What was sent cannot be stored: the same again fails again.
    Data,
    /// Our mistake.
    Ours,
}

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Self::Away,
            sqlx::Error::Database(error) => Self::of_sqlstate(error.code().as_deref().unwrap_or_default()),
            _ => Self::Ours,
        }
    }

    /// Whether the same again may succeed.
    pub(crate) const fn is_passing(self) -> bool {
        matches!(self, Self::Away | Self::Conflict)
    }

    /// By the SQLSTATE codes of the Postgres manual, appendix A.
    fn of_sqlstate(code: &str) -> Self {
        match code {
            // Serialization failure, deadlock, lock not available.
            "40001" | "40P01" | "55P03" => Self::Conflict,
            // Read-only transaction (a primary that became a replica), idle in transaction.
            "25006" | "25P03" => Self::Away,
            _ => match code.get(..2) {
                // Connection, insufficient resources, operator intervention (shutdown, cancelled statement).
                Some("08" | "53" | "57") => Self::Away,
                // Data exception, constraint violation.
                Some("22" | "23") => Self::Data,
                _ => Self::Ours,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_is_away_is_not_our_mistake() {
        for code in ["57P01", "57P03", "57014", "53300", "08006", "25006"] {
            assert_eq!(Fault::of_sqlstate(code), Fault::Away, "{code}");
        }
        assert_eq!(Fault::of(&sqlx::Error::PoolTimedOut), Fault::Away);
        assert_eq!(Fault::of_sqlstate("40P01"), Fault::Conflict);
        assert_eq!(Fault::of_sqlstate("23514"), Fault::Data);
        assert_eq!(Fault::of_sqlstate("42P01"), Fault::Ours);
        assert_eq!(Fault::of_sqlstate(""), Fault::Ours);
    }
}
