//! `freshet export`: every product, page by page, in the form that `import` reads.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use client::Client;
use flate2::Compression;
use flate2::write::GzEncoder;
use form_urlencoded::byte_serialize;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;

use crate::args::{Export, Format, Target};
use crate::columns::{COLUMNS, cell_of};
use crate::failure::accepted;
use crate::output::{Product, grouped};

/// The largest page that the service gives.
const PAGE_LIMIT: u32 = 100;

#[derive(Deserialize)]
struct Page {
    items: Vec<Product>,
    next_cursor: Option<String>,
}

pub(crate) async fn run(export: &Export, target: &Target) -> anyhow::Result<ExitCode> {
    let client = target.client()?;
    let by_name = export.output.as_deref().and_then(Format::of_name);
    let by_use = if target.json { Format::Ndjson } else { Format::Csv };
    let format = export.format.or(by_name).unwrap_or(by_use);
    let Some(path) = &export.output else {
        write_all(&client, format, &mut BufWriter::new(std::io::stdout().lock()), &ProgressBar::hidden()).await?;
        return Ok(ExitCode::SUCCESS);
    };
    // Complete or not at all: the name appears only when the last product is written.
    let part = PathBuf::from(format!("{}.part", path.display()));
    let written = write_file(&client, format, path, &part).await.and_then(|count| {
        std::fs::rename(&part, path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(count)
    });
    let count = written.inspect_err(|_| drop(std::fs::remove_file(&part)))?;
    eprintln!("{} products in {}", grouped(count), path.display());
    Ok(ExitCode::SUCCESS)
}

async fn write_file(client: &Client, format: Format, path: &Path, part: &Path) -> anyhow::Result<u64> {
    let file = File::create(part).with_context(|| format!("{} cannot be written", part.display()))?;
    let progress = ProgressBar::new_spinner();
    progress.set_style(ProgressStyle::with_template("{spinner} {human_pos} products, {per_sec}")?);
    let mut plain = BufWriter::new(file);
    let count = if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz")) {
        let mut gzip = GzEncoder::new(plain, Compression::default());
        let count = write_all(client, format, &mut gzip, &progress).await?;
        plain = gzip.finish()?;
        count
    } else {
        write_all(client, format, &mut plain, &progress).await?
    };
    plain.flush()?;
    progress.finish_and_clear();
    Ok(count)
}

async fn write_all(
    client: &Client,
    format: Format,
    out: &mut impl Write,
    progress: &ProgressBar,
) -> anyhow::Result<u64> {
    if format == Format::Csv {
        write_csv(out, &COLUMNS)?;
    }
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = page(client, cursor.as_deref()).await?;
        for product in &page.items {
            write_product(out, format, product)?;
        }
        count += page.items.len() as u64;
        progress.set_position(count);
        if page.next_cursor.is_none() {
            out.flush()?;
            return Ok(count);
        }
        if page.next_cursor == cursor {
            bail!("{} gave the same cursor twice: {}", client.base_url(), cursor.unwrap_or_default());
        }
        cursor = page.next_cursor;
    }
}

async fn page(client: &Client, cursor: Option<&str>) -> anyhow::Result<Page> {
    let mut path = format!("/products?limit={PAGE_LIMIT}&sort=id");
    if let Some(cursor) = cursor {
        path += "&cursor=";
        path.extend(byte_serialize(cursor.as_bytes()));
    }
    Ok(accepted(client.get(&path).await?)?.json()?)
}

fn write_product(out: &mut impl Write, format: Format, product: &Product) -> anyhow::Result<()> {
    match format {
        Format::Csv => write_csv(out, &COLUMNS.map(|column| cell_of(product.get(column)))),
        Format::Ndjson => {
            let fields: Product = COLUMNS
                .iter()
                .map(|column| ((*column).to_owned(), product.get(*column).cloned().unwrap_or_default()))
                .collect();
            // Not straight into `out`: an error of serde's hides that the output is gone.
            let mut line = serde_json::to_vec(&fields)?;
            line.push(b'\n');
            Ok(out.write_all(&line)?)
        }
    }
}

/// One record, through a writer of its own: the `csv` writer buffers, and would hide when the output is gone.
fn write_csv(out: &mut impl Write, cells: &[impl AsRef<[u8]>]) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(cells)?;
    Ok(out.write_all(&writer.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_product_is_written_in_the_form_that_import_reads() {
        let product = json!({"id": 7, "sku": "LAMP-1", "name": "Lamp, \"small\"", "description": null, "brand": "Lumo",
            "category": null, "price": "19.90", "currency": "USD", "stock": 4, "image_url": null, "version": 2});
        let product = product.as_object().expect("an object");
        let written = |format| {
            let mut out = Vec::new();
            write_product(&mut out, format, product).expect("memory");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(written(Format::Csv), "LAMP-1,\"Lamp, \"\"small\"\"\",,Lumo,,19.90,USD,4,\n");
        let line: serde_json::Value = serde_json::from_str(&written(Format::Ndjson)).expect("JSON");
        assert_eq!(line.as_object().map(serde_json::Map::len), Some(COLUMNS.len()), "no id, no version: {line}");
    }
}
