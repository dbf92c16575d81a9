//! Reads a JSON object field by field and gathers every fault with its pointer, so that a client can mend all at once.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Far more fields than any object of ours has. Bounds the search for repeated names, which compares each with each,
/// and the answer, which names every fault.
const FIELDS_MAX: usize = 64;

/// One field that is not allowed as it is: an RFC 6901 pointer in fragment form and what to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    pub pointer: String,
    pub detail: String,
}

impl FieldFault {
    pub fn new(field: &str, detail: impl fmt::Display) -> Self {
        let escaped = field.replace('~', "~0").replace('/', "~1");
        Self { pointer: format!("#/{escaped}"), detail: detail.to_string() }
    }
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is not JSON.
    #[error("the body is not valid JSON: {0}")]
    Malformed(String),
    /// It is JSON, and these fields are not allowed as they are. Never empty.
    #[error("{} of the fields sent cannot be accepted", .0.len())]
    Invalid(Vec<FieldFault>),
}

/// The fields of one JSON object that have not been read yet, and the faults found so far.
pub struct Fields<'a> {
    unread: Vec<(String, &'a RawValue)>,
    faults: Vec<FieldFault>,
}

impl<'a> Fields<'a> {
    /// Reads the object and refuses a field that stands in it twice: which one was meant cannot be known.
    pub fn parse(json: &'a [u8]) -> Result<Self, Refusal> {
        let value: &RawValue = serde_json::from_slice(json).map_err(|error| Refusal::Malformed(error.to_string()))?;
        let refused = |detail| Refusal::Invalid(vec![FieldFault { pointer: "#".to_owned(), detail }]);
        if !value.get().starts_with('{') {
            return Err(refused("must be a JSON object".to_owned()));
        }
        let mut reader = serde_json::Deserializer::from_str(value.get());
        let unread: Vec<(String, &RawValue)> =
            reader.deserialize_map(Members).map_err(|error| Refusal::Malformed(error.to_string()))?;
        if unread.len() > FIELDS_MAX {
            return Err(refused(format!("must have at most {FIELDS_MAX} fields, has {}", unread.len())));
        }
        let faults = unread
            .iter()
            .enumerate()
            .filter(|(at, (name, _))| unread[..*at].iter().any(|(earlier, _)| earlier == name))
            .map(|(_, (name, _))| FieldFault::new(name, "must stand only once"))
            .collect();
        Ok(Self { unread, faults })
    }

    /// Whether the field was sent and not read yet.
    pub fn has(&self, name: &str) -> bool {
        self.unread.iter().any(|(unread, _)| unread == name)
    }

    /// The field read by `read`; `None` if it is absent or at fault.
    pub fn take<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let raw = self.remove(name)?;
        read(raw.get()).map_err(|detail| self.fault(name, detail)).ok()
    }

    /// Like [`Fields::take`], and `Some(None)` for a JSON null.
    pub fn take_nullable<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<Option<T>> {
        self.take(name, |json| if json == "null" { Ok(None) } else { read(json).map(Some) })
    }

    /// Like [`Fields::take`], and a fault if the field is absent.
    pub fn require<T>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.has(name) {
            self.fault(name, "is required");
            return None;
        }
        self.take(name, read)
    }

    pub fn fault(&mut self, name: &str, detail: impl fmt::Display) {
        self.faults.push(FieldFault::new(name, detail));
    }

    /// Refuses what was not read and, if there was any fault, everything.
    pub fn finish<T>(mut self, allowed: &str, built: Option<T>) -> Result<T, Refusal> {
        for (name, _) in std::mem::take(&mut self.unread) {
            self.fault(&name, format_args!("is not a field here; allowed are {allowed}"));
        }
        match built {
            Some(built) if self.faults.is_empty() => Ok(built),
            _ => Err(Refusal::Invalid(self.faults)),
        }
    }

    fn remove(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.unread.iter().position(|(unread, _)| unread == name)?;
        let (_, raw) = self.unread.remove(at);
        self.unread.retain(|(unread, _)| unread != name);
        Some(raw)
    }
}

/// Reads a JSON string into a text type.
pub(crate) fn text<T>(json: &str) -> Result<T, String>
where
    T: TryFrom<String>,
    T::Error: fmt::Display,
{
    let text: String = serde_json::from_str(json).map_err(|_| "must be a string".to_owned())?;
    T::try_from(text).map_err(|fault| fault.to_string())
}

/// Reads a JSON integer into a bounded number.
pub(crate) fn integer<T>(json: &str) -> Result<T, String>
where
    T: TryFrom<i64>,
    T::Error: fmt::Display,
{
    let number: i64 = serde_json::from_str(json).map_err(|_| "must be an integer".to_owned())?;
    T::try_from(number).map_err(|fault| fault.to_string())
}

/// Reads an amount from a JSON string or from the text of a JSON number, never through a float.
pub(crate) fn price(json: &str) -> Result<crate::Price, String> {
    if json.starts_with('"') {
        return text(json);
    }
    json.parse().map_err(|fault: crate::price::PriceFault| fault.to_string())
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
