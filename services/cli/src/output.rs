//! Tables and numbers for people.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use crate::columns::cell_of;

/// The order in which a person looks for them; what else a product has comes after.
const FIRST_FIELDS: [&str; 13] = [
    "id",
    "sku",
    "name",
    "price",
    "currency",
    "stock",
    "brand",
    "category",
    "description",
    "image_url",
    "version",
    "created_at",
    "updated_at",
];

pub(crate) type Product = Map<String, Value>;

/// The columns of a list of keys.
const KEY_FIELDS: [&str; 7] = ["id", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at"];

pub(crate) fn print_line(text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_ref())?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

pub(crate) fn print_product(product: &Product) -> anyhow::Result<()> {
    let others = product.keys().map(String::as_str).filter(|name| !FIRST_FIELDS.contains(name));
    let mut table = table();
    for name in FIRST_FIELDS.into_iter().chain(others) {
        if let Some(value) = product.get(name) {
            table.add_row([name.to_owned(), cell_of(Some(value))]);
        }
    }
    print_line(table.to_string())
}

pub(crate) fn print_keys(keys: &[Map<String, Value>]) -> anyhow::Result<()> {
    let mut table = table();
    table.set_header(KEY_FIELDS.map(|field| field.replace('_', " ")));
    for key in keys {
        table.add_row(KEY_FIELDS.map(|field| match key.get(field) {
            Some(Value::Array(scopes)) => scopes.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            value => cell_of(value),
        }));
    }
    print_line(table.to_string())
}

/// As wide as the terminal; unlimited when the output goes elsewhere.
pub(crate) fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!([0, 999, 1_000, 19_406, 1_234_567].map(grouped), ["0", "999", "1,000", "19,406", "1,234,567"]);
    }
}
