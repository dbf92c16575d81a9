//! Bad input: each is answered with the field at fault and what is allowed, and nothing is stored.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use sqlx::PgPool;

use crate::shop::{JSON, MERGE_PATCH, Shop};

/// A product with some fields added, or in place of the usual ones.
fn product_with(field: &str, json: &str) -> String {
    let usual = [("sku", r#""LAMP-2""#), ("name", r#""Lamp""#), ("price", r#""1.00""#)];
    let mut fields: Vec<String> =
        usual.iter().filter(|(name, _)| *name != field).map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
    fields.push(format!(r#""{field}":{json}"#));
    format!("{{{}}}", fields.join(","))
}

fn bad_values() -> Vec<(&'static str, String)> {
    let long = |length: usize| format!("\"{}\"", "x".repeat(length));
    vec![
        ("name", r#""""#.into()),
        ("name", "null".into()),
        ("name", "7".into()),
        ("name", r#"" padded""#.into()),
        ("name", r#""a\u0000b""#.into()),
        ("name", long(501)),
        ("description", long(10_001)),
        ("description", "[]".into()),
        ("brand", long(101)),
        ("category", r#""a//b""#.into()),
        ("category", long(201)),
        ("image_url", r#""javascript:alert(1)""#.into()),
        ("image_url", format!(r#""/{}""#, "x".repeat(2_048))),
        ("price", "null".into()),
        ("price", "true".into()),
        ("price", "-1".into()),
        ("price", "1.999".into()),
        ("price", r#""1e2""#.into()),
        ("price", "1e2".into()),
        ("price", "10000000000000.00".into()),
        ("currency", r#""usd""#.into()),
        ("currency", r#""XXX""#.into()),
        ("currency", "null".into()),
        ("stock", "-1".into()),
        ("stock", "1.5".into()),
        ("stock", r#""4""#.into()),
        ("stock", "2147483648".into()),
        ("stock", "null".into()),
        ("colour", r#""red""#.into()),
        ("id", "1".into()),
        ("version", "1".into()),
    ]
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_field_at_fault_is_named(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    for (field, json) in bad_values() {
        let created = shop.post(&product_with(field, &json)).await;
        let patched = shop.patch(id, &format!(r#"{{"{field}":{json}}}"#)).await;
        for answer in [created, patched] {
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{field} {json}");
            assert_eq!(answer.pointers(), [format!("#/{field}")], "{json}");
            assert_eq!(answer.json()["type"], "/problems/invalid-field");
        }
    }
    assert_eq!(shop.events().await.len(), 1);
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_only_a_new_product_can_lack_is_named(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    for (body, pointers) in [
        ("{}", &["#/sku", "#/name", "#/price"][..]),
        (r#"{"sku":"a b","name":"x","price":"1"}"#, &["#/sku"]),
        (r#"{"sku":"A","name":"x","name":"y","price":"1"}"#, &["#/name"]),
        (r#"{"sku":"A","name":"x","price":"1","a/b~c":1}"#, &["#/a~1b~0c"]),
        (r#"{"sku":"A","name":"x","price":"1.5","currency":"JPY","stock":-1}"#, &["#/stock", "#/price"]),
        ("[]", &["#"]),
        ("null", &["#"]),
        (r#""text""#, &["#"]),
    ] {
        let answer = shop.post(body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
    // A sku is for life.
    assert_eq!(shop.patch(id, r#"{"sku":"LAMP-2"}"#).await.pointers(), ["#/sku"]);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_body_that_is_no_json_is_malformed(db: PgPool) {
    let shop = Shop::new(db);
    let path = format!("/products/{}", shop.lamp().await);
    let bodies: [&[u8]; 6] = [b"", b"{", b"{\"sku\":}", b"{} {}", b"{\"name\":\"\xff\"}", b"\xff\xfe"];
    for body in bodies {
        for (method, path) in [(Method::POST, "/products"), (Method::PATCH, &path)] {
            let answer = shop.send(method, path, JSON, body.to_vec()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}");
            assert!(answer.pointers().is_empty());
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_body_above_64_kib_is_too_large(db: PgPool) {
    let shop = Shop::new(db);
    let path = format!("/products/{}", shop.lamp().await);
    let padded = |size: usize| {
        let product = r#"{"sku":"LAMP-2","name":"Lamp","price":"1"}"#;
        format!("{product}{}", " ".repeat(size - product.len()))
    };
    assert_eq!(shop.post(&padded(64 * 1024)).await.status, StatusCode::CREATED);
    for (method, path) in [(Method::POST, "/products"), (Method::PATCH, path.as_str())] {
        let answer = shop.send(method, path, JSON, padded(64 * 1024 + 1)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(answer.json()["detail"], "a body may have at most 65536 bytes");
        answer.pointers();
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn another_media_type_is_refused_with_those_that_are_taken(db: PgPool) {
    let shop = Shop::new(db);
    let path = format!("/products/{}", shop.lamp().await);
    for media_type in ["", "text/plain", "application/jsonx", "application/x-www-form-urlencoded"] {
        let answer = shop.send(Method::POST, "/products", media_type, "{}").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
        assert_eq!(answer.header("accept-post"), "application/json, application/x-ndjson");
        answer.pointers();
        let answer = shop.send(Method::PATCH, &path, media_type, "{}").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{media_type}");
        assert_eq!(answer.header("accept-patch"), "application/merge-patch+json, application/json");
    }
    assert_eq!(shop.send(Method::POST, "/products", MERGE_PATCH, "{}").await.status.as_u16(), 415);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_path_that_holds_no_id_is_malformed(db: PgPool) {
    let shop = Shop::new(db);
    for id in ["0", "-1", "x", "1.0", "9223372036854775808", "%ff", "1%20"] {
        let path = format!("/products/{id}");
        let patched = shop.send(Method::PATCH, &path, JSON, "{}").await;
        let deleted = shop.send(Method::DELETE, &path, "", Body::empty()).await;
        for answer in [patched, deleted] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{id}");
            assert!(answer.pointers().is_empty());
        }
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn what_is_not_served_is_a_problem_too(db: PgPool) {
    let shop = Shop::new(db);
    let unknown = shop.send(Method::GET, "/product", "", Body::empty()).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    unknown.pointers();
    let not_allowed = shop.send(Method::PUT, "/products/1", JSON, "{}").await;
    assert_eq!(not_allowed.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(not_allowed.header("allow"), "PATCH,DELETE");
    not_allowed.pointers();
}
