//! Reads a query string parameter by parameter and gathers every fault, so that a client can mend all at once.

use std::fmt;

use catalog::FieldFault;

/// Longest part of a client's own text that is repeated in an answer: enough to recognise a mistyped name.
const ECHO_LENGTH_MAX: usize = 40;

/// Why a query string is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryFault {
    /// It does not ask for anything that there is.
    #[error("{0}")]
    Malformed(String),
    /// These parameters do not have a value that is allowed. Never empty.
    #[error("{} of the query parameters cannot be accepted", .0.len())]
    Invalid(Vec<FieldFault>),
}

/// The parameters that have not been read yet, and the faults found so far.
#[derive(Debug)]
pub(crate) struct Parameters {
    unread: Vec<(String, String)>,
    faults: Vec<FieldFault>,
}

impl Parameters {
    /// Refuses a name that is not `allowed`, and one that stands twice: which value was meant cannot be known.
    pub(crate) fn new(allowed: &[&str], pairs: Vec<(String, String)>) -> Result<Self, QueryFault> {
        for (at, (name, _)) in pairs.iter().enumerate() {
            let quoted: String = name.chars().take(ECHO_LENGTH_MAX).collect();
            if !allowed.contains(&name.as_str()) {
                let allowed = allowed.join(", ");
                let detail = format!("there is no query parameter {quoted:?} here; allowed are {allowed}");
                return Err(QueryFault::Malformed(detail));
            }
            if pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(QueryFault::Malformed(format!("query parameter {quoted} must stand only once")));
            }
        }
        Ok(Self { unread: pairs, faults: Vec::new() })
    }

    /// The parameter as it was sent.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.unread.iter().position(|(unread, _)| unread == name)?;
        Some(self.unread.swap_remove(at).1)
    }

    /// The parameter read by `read`; `None` if it is absent or at fault.
    pub(crate) fn read<T, E: fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.take(name)?;
        self.check(name, read(text))
    }

    /// Like [`Parameters::read`], and a fault if the parameter is absent.
    pub(crate) fn require<T, E: fmt::Display>(
        &mut self,
        name: &str,
        read: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        if self.unread.iter().all(|(unread, _)| unread != name) {
            return self.check(name, Err("is required"));
        }
        self.read(name, read)
    }

    /// The value, or a fault of the parameter.
    pub(crate) fn check<T, E: fmt::Display>(&mut self, name: &str, value: Result<T, E>) -> Option<T> {
        value
            .map_err(|fault| self.faults.push(FieldFault::new(name, format_args!("query parameter {name} {fault}"))))
            .ok()
    }

    /// Refuses everything if there was any fault.
    pub(crate) fn finish(self) -> Result<(), QueryFault> {
        if self.faults.is_empty() { Ok(()) } else { Err(QueryFault::Invalid(self.faults)) }
    }
}
