//! A problem answer as a client reads it: in plain words, and open to members it does not know.

use std::fmt;

use serde::Deserialize;

/// RFC 9457 problem details; what is missing stays empty.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub status: u16,
    #[serde(default)]
    pub detail: String,
    #[serde(default)]
    pub request_id: String,
    #[serde(default)]
    pub errors: Vec<ProblemField>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ProblemField {
    pub pointer: String,
    pub detail: String,
}

impl fmt::Display for Problem {
    /// `Title: detail (price: what is allowed; stock: what is allowed)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        if !self.detail.is_empty() {
            write!(f, ": {}", self.detail)?;
        }
        for (index, field) in self.errors.iter().enumerate() {
            let name = field.pointer.trim_start_matches("#/");
            write!(f, "{}{name}: {}", if index == 0 { " (" } else { "; " }, field.detail)?;
        }
        if self.errors.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_one_plain_sentence() {
        let text = r##"{"type":"/problems/x","title":"Invalid field","status":422,"detail":"two fields","new":1,
            "errors":[{"pointer":"#/price","detail":"at most 2 decimals"},{"pointer":"#/stock","detail":"at least 0"}]}"##;
        let problem: Problem = serde_json::from_str(text).expect("a problem");
        assert_eq!(problem.to_string(), "Invalid field: two fields (price: at most 2 decimals; stock: at least 0)");
    }
}
