//! Lines of an NDJSON file, passed on as they are but for a reason that they lack; blank ones are skipped.

use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Row;

/// The longest line that the service takes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Reads the lines as they are asked for.
pub(crate) fn read(source: impl BufRead, reason: Option<String>) -> impl Iterator<Item = io::Result<Row>> {
    let mut lines = Lines { source, number: 0, reason };
    let mut is_over = false;
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let next = lines.next_row().transpose();
        is_over = next.as_ref().is_none_or(io::Result::is_err);
        next
    })
}

struct Lines<R> {
    source: R,
    number: u64,
    /// Of lines that give none.
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Reason {
    reason: Option<IgnoredAny>,
}

/// Written in front of what there is, so that nothing of that is read and written anew: a number would not stay as it is.
/// What is no object is left to the server to refuse.
fn with_reason(json: Vec<u8>, reason: &str) -> Vec<u8> {
    if !serde_json::from_slice(&json).is_ok_and(|Reason { reason }| reason.is_none()) {
        return json;
    }
    let Some(fields) = json.trim_ascii_start().strip_prefix(b"{") else { return json };
    let comma = if fields.trim_ascii_start().starts_with(b"}") { "" } else { "," };
    let head = format!("{{\"reason\":{}{comma}", serde_json::Value::from(reason));
    [head.as_bytes(), fields].concat()
}

impl<R: BufRead> Lines<R> {
    fn next_row(&mut self) -> io::Result<Option<Row>> {
        loop {
            let mut json = Vec::new();
            // One byte more than allowed, and the newline.
            self.source.by_ref().take(LINE_BYTES_MAX as u64 + 2).read_until(b'\n', &mut json)?;
            if json.is_empty() {
                return Ok(None);
            }
            self.number += 1;
            let has_newline = json.pop_if(|byte| *byte == b'\n').is_some();
            if json.len() > LINE_BYTES_MAX {
                if !has_newline {
                    self.source.skip_until(b'\n')?;
                }
                let reason = format!("is longer than {LINE_BYTES_MAX} bytes");
                return Ok(Some(Row { line: self.number, json: Err(reason) }));
            }
            if !json.trim_ascii().is_empty() {
                if let Some(reason) = &self.reason {
                    json = with_reason(json, reason);
                }
                return Ok(Some(Row { line: self.number, json: Ok(json) }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_skipped_but_counted_and_the_last_needs_no_newline() {
        let rows: Vec<_> = read(&b"{\"a\":1}\n\n \r\n{\"b\":2}"[..], None).map(|row| row.expect("memory")).collect();
        let seen: Vec<_> = rows.into_iter().map(|row| (row.line, row.json.expect("a line"))).collect();
        assert_eq!(seen, [(1, b"{\"a\":1}".to_vec()), (4, b"{\"b\":2}".to_vec())]);
    }

    #[test]
    fn a_reason_is_added_where_there_is_none_and_nothing_else_is_touched() {
        for (line, sent) in [
            (r#"{"price":19.90, "id":1}"#, r#"{"reason":"a \"sale\"","price":19.90, "id":1}"#),
            (" { }", r#"{"reason":"a \"sale\"" }"#),
            (r#"{"id":1,"reason":"mine"}"#, r#"{"id":1,"reason":"mine"}"#),
            ("nonsense", "nonsense"),
            ("[null]", "[null]"),
        ] {
            let rows: Vec<_> =
                read(line.as_bytes(), Some("a \"sale\"".to_owned())).map(|row| row.expect("memory")).collect();
            assert_eq!(rows[0].json.as_deref(), Ok(sent.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_without_being_held() {
        for excess in [1, 2, 3, 100_000] {
            let text = [&vec![b'x'; LINE_BYTES_MAX + excess][..], b"\n{}\n"].concat();
            let rows: Vec<_> = read(&text[..], None).map(|row| row.expect("memory")).collect();
            assert_eq!(
                rows.iter().map(|row| (row.line, row.json.is_ok())).collect::<Vec<_>>(),
                [(1, false), (2, true)]
            );
        }
        let longest = [&vec![b'x'; LINE_BYTES_MAX][..], b"\n{}\n"].concat();
        assert!(read(&longest[..], None).all(|row| row.is_ok_and(|row| row.json.is_ok())));
    }
}
