//! Rows of a CSV file, by the names in its first line.

use std::io::{self, BufRead};

use anyhow::bail;
use csv::{ErrorKind, StringRecord};
use serde_json::{Map, Value};

use super::{Row, RowForm};
use crate::columns::value_of;

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads the header now, and the rows as they are asked for.
///
/// # Errors
/// The header names an unknown column, or one twice.
pub(crate) fn read(source: impl BufRead, form: RowForm) -> anyhow::Result<impl Iterator<Item = io::Result<Row>>> {
    let mut reader = csv::Reader::from_reader(source);
    let columns: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(|name| name.trim_start_matches(BYTE_ORDER_MARK).to_owned()).collect(),
        Err(error) => bail!("the header cannot be read: {error}"),
    };
    check(&columns, form.columns)?;
    let mut record = StringRecord::new();
    let mut is_over = false;
    Ok(std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        match reader.read_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                let line = record.position().map_or(0, csv::Position::line);
                Some(Ok(Row { line, json: Ok(to_json(&columns, &record, &form)) }))
            }
            Err(error) => {
                let row = refused(error);
                is_over = row.is_err();
                Some(row)
            }
        }
    }))
}

fn check(columns: &[String], known: &[&str]) -> anyhow::Result<()> {
    let allowed = known.join(", ");
    if columns.is_empty() {
        bail!("the file is empty; its first line must name columns out of {allowed}");
    }
    for (at, column) in columns.iter().enumerate() {
        if !known.contains(&column.as_str()) {
            bail!("the column {column:?} is not known; allowed are {allowed}");
        }
        if columns[..at].contains(column) {
            bail!("the column {column:?} is named twice");
        }
    }
    Ok(())
}

fn to_json(columns: &[String], record: &StringRecord, form: &RowForm) -> Vec<u8> {
    let cells = columns.iter().zip(record).filter(|(_, cell)| form.is_empty_null || !cell.is_empty());
    let mut fields: Map<String, Value> = cells.map(|(column, cell)| (column.clone(), value_of(column, cell))).collect();
    if let Some(reason) = &form.reason {
        fields.entry("reason").or_insert_with(|| reason.clone().into());
    }
    serde_json::to_vec(&fields).expect("a map of texts and numbers always serializes")
}

/// A row that is damaged in itself is refused and the next one read; a source that breaks off ends the rows.
fn refused(error: csv::Error) -> io::Result<Row> {
    let line = error.position().map_or(0, csv::Position::line);
    let reason = match error.kind() {
        ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} cells, where the header has {expected_len}")
        }
        ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        _ => return Err(error.into()),
    };
    Ok(Row { line, json: Err(reason) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::columns::{COLUMNS, PATCH_COLUMNS};

    const IMPORT: RowForm = RowForm { columns: &COLUMNS, is_empty_null: true, reason: None };

    fn rows(text: &[u8]) -> Vec<(u64, Result<Value, String>)> {
        rows_of(text, IMPORT)
    }

    fn rows_of(text: &[u8], form: RowForm) -> Vec<(u64, Result<Value, String>)> {
        let rows = read(text, form).expect("a good header").map(|row| row.expect("memory does not break off"));
        rows.map(|row| (row.line, row.json.map(|json| serde_json::from_slice(&json).expect("JSON")))).collect()
    }

    fn refusal(header: &str) -> String {
        read(header.as_bytes(), IMPORT).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn columns_stand_in_any_order_and_an_empty_cell_is_null() {
        let text = "\u{feff}stock,sku,price,brand\n4,LAMP-1,19.90,\nmany,\"B,\"\"2\"\"\",5,Lumo\n";
        assert_eq!(
            rows(text.as_bytes()),
            [
                (2, Ok(json!({"stock": 4, "sku": "LAMP-1", "price": "19.90", "brand": null}))),
                (3, Ok(json!({"stock": "many", "sku": "B,\"2\"", "price": "5", "brand": "Lumo"}))),
            ]
        );
    }

    #[test]
    fn of_a_patch_an_empty_cell_says_nothing_and_a_reason_is_given_where_there_is_none() {
        let form = RowForm { columns: &PATCH_COLUMNS, is_empty_null: false, reason: Some("sale".to_owned()) };
        let text = "id,sku,price,stock_delta,if_match,reason\n7,,1.50,,3,\n,A,,-2,*,broken\n";
        assert_eq!(
            rows_of(text.as_bytes(), form),
            [
                (2, Ok(json!({"id": 7, "price": "1.50", "if_match": 3, "reason": "sale"}))),
                (3, Ok(json!({"sku": "A", "stock_delta": -2, "if_match": "*", "reason": "broken"}))),
            ]
        );
    }

    #[test]
    fn a_row_is_known_by_the_line_it_begins_on() {
        let rows = rows(b"sku,description\nA,\"two\nlines\"\nB,x\n");
        assert_eq!(rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn a_damaged_row_is_refused_and_the_next_one_read() {
        let rows = rows(b"sku,name\nA\nB,\xff\nC,c\n");
        assert_eq!(rows[0], (2, Err("has 1 cells, where the header has 2".into())));
        assert_eq!(rows[1], (3, Err("is not UTF-8".into())));
        assert_eq!(rows[2], (4, Ok(json!({"sku": "C", "name": "c"}))));
    }

    #[test]
    fn a_bad_header_says_what_is_allowed() {
        assert!(refusal("sku,colour\n").contains("\"colour\" is not known; allowed are sku, name, description"));
        assert!(refusal("sku,sku\n").contains("twice"));
        assert!(refusal("").contains("empty"));
    }
}
