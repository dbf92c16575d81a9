//! How much may happen in one run, so that a search ends.

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Limited {
    Writes,
    Turns,
    Elections,
    Truncations,
    Failovers,
    RedisLosses,
    Restores,
    Restarts,
    Horizons,
    Evictions,
    Flights,
    Holds,
}

const KINDS: usize = 12;

/// How often each may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Limits([u8; KINDS]);

/// How often each has happened.
pub(crate) type Spent = Limits;

impl Limits {
    pub(crate) fn of(allowed: &[(Limited, u8)]) -> Self {
        let mut limits = Self::default();
        for (kind, times) in allowed {
            limits.0[*kind as usize] = *times;
        }
        limits
    }

    pub(crate) fn allows(&self, kind: Limited, spent: &Spent) -> bool {
        spent.0[kind as usize] < self.0[kind as usize]
    }

    pub(crate) fn spend(&mut self, kind: Limited) {
        self.0[kind as usize] += 1;
    }
}
