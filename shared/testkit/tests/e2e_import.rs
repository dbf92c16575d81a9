//! Products go in through the command line and come out of every read node as they went in, field by field.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use csv::StringRecord;
use flate2::read::GzDecoder;
use testkit::{Options, holds, programs, stack};

const HEADER: [&str; 9] =
    ["sku", "name", "description", "brand", "category", "price", "currency", "stock", "image_url"];

/// Real products in the form of `freshet import`, kept beside the project and not in it; absent where they are not.
fn real_products() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/products.csv.gz");
    file.exists().then_some(file)
}

/// Made-up products with everything that a CSV file makes hard.
fn made_up_products(file: &Path) {
    let mut rows = csv::Writer::from_path(file).unwrap();
    rows.write_record(HEADER).unwrap();
    for number in 0..5_000 {
        let description = if number % 2 == 0 { "two\nlines, \"quoted\"" } else { "" };
        let (sku, price) = (format!("LAMP-{number}"), format!("{}.{:02}", number, number % 100));
        let stock = (number % 7).to_string();
        rows.write_record([&sku, "Lämp, \"große\" ☀", description, "Lumo", "", &price, "USD", &stock, ""]).unwrap();
    }
    rows.flush().unwrap();
}

/// The rows of a CSV text, header included, in an order of their own.
fn sorted_rows(text: &[u8]) -> Vec<StringRecord> {
    let reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    let mut rows: Vec<StringRecord> = reader.into_records().map(Result::unwrap).collect();
    rows.sort_by(|a, b| a.iter().cmp(b.iter()));
    rows
}

fn freshet(key: &str, arguments: &[&str]) -> Vec<u8> {
    let mut freshet = Command::new(programs().join("freshet"));
    let done = freshet.args(arguments).env("FRESHET_API_KEY", key).output().unwrap();
    assert!(done.status.success(), "freshet {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    done.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn every_imported_product_is_served_by_every_read_node_field_by_field() {
    let shop = tokio::task::block_in_place(|| stack(Options::default(), &[]));
    let urls = shop.stack.urls();
    let file = real_products().unwrap_or_else(|| {
        let file = shop.file("products.csv");
        made_up_products(&file);
        file
    });
    let mut text = std::fs::read(&file).unwrap();
    if file.extension().is_some_and(|extension| extension == "gz") {
        let mut plain = Vec::new();
        GzDecoder::new(&text[..]).read_to_end(&mut plain).unwrap();
        text = plain;
    }
    let expected = sorted_rows(&text);

    freshet(shop.key(), &["--url", &urls.gateway, "import", file.to_str().unwrap()]);

    let again = shop.gateway();
    let line = r#"{"sku":"LAMP-NEW","name":"Lamp","price":"1.00"}"#.to_owned() + "\n";
    let lines = again.stream_ndjson("/products?source=test", futures_util::stream::iter([line.into()])).await.unwrap();
    assert_eq!(lines.status, http::StatusCode::OK, "a query does not lead a stream astray");
    let lines = String::from_utf8(lines.into_response().await.unwrap().body.to_vec()).unwrap();
    let created: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let id = created["id"].as_i64().unwrap();
    let line = format!("{{\"id\":{id},\"price\":\"2.00\"}}\n");
    for (path, expected) in [("/products?dry_run=true", "\"dry_run\":true"), ("/products", "\"bulk_id\":")] {
        let lines = futures_util::stream::iter([line.clone().into()]);
        let answer = again.stream_lines(http::Method::PATCH, path, http::HeaderMap::new(), lines).await.unwrap();
        let answer = String::from_utf8(answer.into_response().await.unwrap().body.to_vec()).unwrap();
        assert!(answer.contains("\"status\":200") && answer.contains("\"version\":2"), "{answer}");
        assert!(answer.contains(expected), "a query is not lost on the way: {answer}");
    }
    again.request(http::Method::DELETE, &format!("/products/{id}"), http::HeaderMap::new(), "").await.unwrap();

    for node in &urls.read {
        let mut served = Vec::new();
        holds(async || {
            served = sorted_rows(&freshet(shop.key(), &["--url", node, "export", "--format", "csv"]));
            served.len() >= expected.len()
        })
        .await;
        assert_eq!(served.len(), expected.len(), "{node}");
        for (served, expected) in served.iter().zip(&expected) {
            assert_eq!(served, expected, "{node}");
        }
    }
    println!("{} products, served by {} nodes as they were imported", expected.len() - 1, urls.read.len());
}
