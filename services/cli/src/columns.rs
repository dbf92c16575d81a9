//! The columns of a product's CSV form, and the way between a cell and a JSON value.

use serde_json::Value;

/// What `import` reads and `export` writes, in the order it is written.
pub(crate) const COLUMNS: [&str; 9] =
    ["sku", "name", "description", "brand", "category", "price", "currency", "stock", "image_url"];

/// What `patch --file` reads.
pub(crate) const PATCH_COLUMNS: [&str; 13] = [
    "id",
    "sku",
    "name",
    "description",
    "brand",
    "category",
    "price",
    "currency",
    "stock",
    "stock_delta",
    "image_url",
    "reason",
    "if_match",
];

const INTEGERS: [&str; 4] = ["id", "stock", "stock_delta", "if_match"];

/// An empty cell is null. Money stays text; a stock that is no number too, so that the server says what is allowed.
pub(crate) fn value_of(column: &str, cell: &str) -> Value {
    if cell.is_empty() {
        return Value::Null;
    }
    match cell.parse::<i64>() {
        Ok(number) if INTEGERS.contains(&column) => number.into(),
        _ => cell.into(),
    }
}

/// The inverse of [`value_of`], and readable for any other value.
pub(crate) fn cell_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_becomes_a_value_and_the_same_cell_again() {
        for (column, cell, value) in [
            ("name", "007", json!("007")),
            ("price", "19.90", json!("19.90")),
            ("stock", "4", json!(4)),
            ("stock", "four", json!("four")),
            ("brand", "", json!(null)),
            ("description", "a \"b\"\n", json!("a \"b\"\n")),
        ] {
            assert_eq!(value_of(column, cell), value);
            assert_eq!(cell_of(Some(&value)), cell);
        }
    }
}
