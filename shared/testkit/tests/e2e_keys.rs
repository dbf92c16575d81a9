//! API keys on a whole stack: who is let in, what a revocation reaches, and that no key is left in anything that is written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use client::{Client, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use testkit::api::{create, set_price, try_set_price};
use testkit::{Options, TestStack, client, holds, programs, stack};
use tokio::task::block_in_place;
use xtask::stack::Stack;

/// Runs `freshet` with a key in its environment, or with none if it is empty.
fn freshet(key: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(programs().join("freshet"));
    if !key.is_empty() {
        command.env("FRESHET_API_KEY", key);
    }
    block_in_place(|| command.args(arguments).output().unwrap())
}

/// Makes a key as an operator does, and returns its id and itself.
fn key_of(shop: &TestStack, scopes: &str) -> (String, String) {
    let url = shop.stack.urls().gateway;
    let made =
        freshet(shop.key(), &["--url", &url, "--json", "keys", "create", "--name", "price feed", "--scope", scopes]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let issued: Value = serde_json::from_slice(&made.stdout).unwrap();
    (issued["id"].as_str().unwrap().to_owned(), issued["key"].as_str().unwrap().to_owned())
}

async fn send(client: &Client, method: Method, path: &str, media_type: &'static str, body: &str) -> Response {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
    client.request(method, path, headers, body.to_owned()).await.unwrap()
}

/// The names of the files below `folder` that hold one of the texts.
fn files_with(texts: &[&str], folder: &Path) -> HashSet<String> {
    let mut grep = Command::new("grep");
    grep.args(["--recursive", "--files-with-matches", "--text", "--fixed-strings"]);
    let found = grep.args(texts.iter().flat_map(|text| ["-e", text])).arg(folder).output().unwrap();
    let name = |path: &str| Path::new(path).file_name().unwrap().to_str().unwrap().to_owned();
    String::from_utf8(found.stdout).unwrap().lines().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_gateway_every_write_needs_a_key_and_no_read_does() {
    let shop = block_in_place(|| stack(Options { read_nodes: 1, ..Options::default() }, &[]));
    let urls = shop.stack.urls();
    let id = create(&shop.gateway(), "LAMP-1").await.id;
    let product = format!("/products/{id}");
    let line = "{\"sku\":\"LAMP-2\",\"name\":\"Lamp\",\"price\":\"1\"}\n";
    let stranger = client(&urls.gateway);
    let mut told = HashSet::new();
    for (method, path, media_type, body) in [
        (Method::POST, "/products", "application/json", line),
        (Method::POST, "/products", "application/x-ndjson", line),
        (Method::PATCH, &product, "application/merge-patch+json", "{}"),
        (Method::DELETE, &product, "application/json", ""),
        (Method::GET, "/keys", "application/json", ""),
        (Method::POST, "/keys", "application/json", "{}"),
        (Method::DELETE, "/keys/0123456789ab", "application/json", ""),
    ] {
        for client in [stranger.clone(), stranger.clone().with_key("freshet_unheard_of").unwrap()] {
            let answer = send(&client, method.clone(), path, media_type, body).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            let mut problem: Value = answer.json().unwrap();
            assert_ne!(problem["request_id"].take(), Value::Null);
            told.insert(problem.to_string());
        }
    }
    assert_eq!(told.len(), 1, "{told:?}");

    let file = shop.file("products.ndjson");
    std::fs::write(&file, line.repeat(20_000)).unwrap();
    let import = ["--url", &urls.gateway, "import", "--quiet", file.to_str().unwrap()];
    let refused = freshet("", &import);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("a valid API key is needed") && said.contains("--api-key"), "{said}");

    holds(async || stranger.get(&product).await.unwrap().status == StatusCode::OK).await;
    for path in ["/products?skus=LAMP-2", "/openapi.json", "/docs/"] {
        assert_eq!(stranger.get(path).await.unwrap().status, StatusCode::OK, "{path}");
    }
    let none: Value = stranger.get("/products?skus=LAMP-2").await.unwrap().json().unwrap();
    assert_eq!(none["missing"][0], "LAMP-2", "nothing was changed");
    for (node, ops) in urls.write.iter().zip(&urls.write_ops) {
        assert_eq!(client(node).get("/openapi.json").await.unwrap().status, StatusCode::OK);
        assert_eq!(client(ops).get("/metrics").await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_every_instance_and_no_key_is_in_anything_that_was_written() {
    let env = [("FRESHET_LOG", "debug")];
    let mut shop = block_in_place(|| stack(Options { write_nodes: 2, read_nodes: 1, ..Options::default() }, &env));
    let urls = shop.stack.urls();
    let id = create(&shop.gateway(), "LAMP-1").await.id;
    let (feed_id, feed) = key_of(&shop, "products:write");
    let (_, bulk) = key_of(&shop, "products:bulk");
    let nodes = [&urls.write[0], &urls.write[1]].map(|url| client(url).with_key(&feed).unwrap());
    for node in &nodes {
        set_price(node, id, "17.99").await;
        assert_eq!(send(node, Method::POST, "/keys", "application/json", "{}").await.status, StatusCode::FORBIDDEN);
    }
    let file = shop.file("products.ndjson");
    std::fs::write(&file, "{\"sku\":\"LAMP-2\",\"name\":\"Lamp\",\"price\":\"1\"}\n").unwrap();
    let imported = freshet(&bulk, &["--url", &urls.gateway, "import", "--quiet", file.to_str().unwrap()]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    // Sent in ways in which they are no keys: too long, and as another header or a path.
    let odd = client(&urls.write[0]).with_key(&format!("{feed}x")).unwrap();
    assert_eq!(try_set_price(&odd, id, "1.00").await.unwrap().status, StatusCode::UNAUTHORIZED);
    let unmade = feed.replace(&feed_id, "0123456789ab");
    let unknown = client(&urls.gateway).with_key(&unmade).unwrap();
    assert_eq!(try_set_price(&unknown, id, "1.00").await.unwrap().status, StatusCode::UNAUTHORIZED);

    let listed = freshet(shop.key(), &["--url", &urls.gateway, "keys", "list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains(&feed_id) && listed.contains("price feed") && listed.contains("development"), "{listed}");
    let revoked = client(&urls.write[0]).with_key(shop.key()).unwrap();
    let path = format!("/keys/{feed_id}");
    assert_eq!(send(&revoked, Method::DELETE, &path, "application/json", "").await.status, StatusCode::NO_CONTENT);
    let begun = Instant::now();
    for node in &nodes {
        holds(async || try_set_price(node, id, "16.99").await.unwrap().status == StatusCode::UNAUTHORIZED).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());

    let development = shop.key().to_owned();
    let secrets = [&feed, &bulk, &unmade, &development].map(|key| &key[21..]);
    let mut told = vec![listed, String::from_utf8_lossy(&imported.stderr).into_owned()];
    let ops = [&urls.write_ops[..], &urls.read_ops, &urls.projector_ops].concat();
    for ops in ops {
        told.push(String::from_utf8(client(&ops).get("/metrics").await.unwrap().body.to_vec()).unwrap());
    }
    let db = sqlx::PgPool::connect(&urls.database).await.unwrap();
    for rows in [
        "select string_agg(t::text, ' ') from api_keys t",
        "select coalesce(string_agg(t::text, ' '), '') from outbox t",
    ] {
        told.push(sqlx::query_scalar(rows).fetch_one(&db).await.unwrap());
    }
    for told in &told {
        assert!(!secrets.iter().any(|secret| told.contains(secret)), "{told}");
    }
    let logs = shop.file("logs");
    assert_eq!(
        files_with(&[&format!("\"actor\":\"price feed ({feed_id})\"")], &logs).len(),
        2,
        "both nodes name who asks"
    );
    // Stopped, so that what the servers hold back is written too: streams, pages, the write-ahead log.
    block_in_place(|| shop.stack.stop().unwrap());
    let found = block_in_place(|| files_with(&secrets, &shop.file("")));
    assert_eq!(found, ["urls.env", "stack.json"].map(str::to_owned).into(), "only where the development key is for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_key_that_is_no_longer_good_is_made_anew() {
    let options = Options { replicas: 0, read_nodes: 1, ..Options::default() };
    let mut shop = block_in_place(|| stack(options, &[]));
    let first = shop.key().to_owned();
    let again = |shop: &mut TestStack| {
        block_in_place(|| {
            shop.stack.stop().unwrap();
            let options = shop.stack.options().clone();
            shop.stack = Stack::start(options, &shop.file(""), &programs(), &|_| ()).unwrap();
        });
    };
    again(&mut shop);
    assert_eq!(shop.key(), first, "it is kept as long as it is good");

    let own = format!("/keys/{}", &first[8..20]);
    assert_eq!(
        send(&shop.gateway(), Method::DELETE, &own, "application/json", "").await.status,
        StatusCode::NO_CONTENT
    );
    again(&mut shop);
    assert_ne!(shop.key(), first);
    create(&shop.gateway(), "LAMP-1").await;
}
