//! Readiness and migrations.

use freshet_write::{database, http};
use sqlx::PgPool;

#[sqlx::test(migrations = false)]
async fn a_database_without_tables_is_not_ready_until_it_is_migrated(db: PgPool) {
    let reason = database::probe(&db).await.unwrap_err();
    assert_eq!(reason, "the tables are missing: run `freshet-write migrate`");
    let options = db.connect_options();
    let (one, other) = tokio::join!(database::migrate(&options, 24), database::migrate(&options, 24));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    database::migrate(&options, 24).await.unwrap();
    assert_eq!(database::probe(&db).await, Ok(()));
    // As an older build left it.
    sqlx::query("delete from _sqlx_migrations").execute(&db).await.unwrap();
    let reason = database::probe(&db).await.unwrap_err();
    assert_eq!(reason, "the tables are too old: run `freshet-write migrate`");
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_database_that_is_away_is_not_ready(db: PgPool) {
    let away = database::pool(&(*db.connect_options()).clone().port(1), 1);
    assert!(database::probe(&away).await.is_err());
}

#[test]
fn the_document_names_every_answer_of_every_operation() {
    let document = http::document();
    let statuses = |method: &str, path: &str| {
        let responses = document["paths"][path][method]["responses"].as_object().unwrap();
        for (status, response) in responses.iter().filter(|(status, _)| status.as_str() >= "400") {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{method} {path} {status}");
        }
        responses.keys().cloned().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(statuses("post", "/products"), "200 201 400 401 403 409 413 415 422 429 500 503 504");
    assert_eq!(statuses("patch", "/products"), "200 400 401 403 415 429 500 503 504");
    assert_eq!(statuses("patch", "/products/{id}"), "200 204 400 401 403 404 409 412 413 415 422 429 500 503 504");
    assert_eq!(statuses("delete", "/products/{id}"), "204 400 401 403 404 409 412 422 429 500 503 504");
    assert_eq!(statuses("post", "/keys"), "201 400 401 403 413 415 422 429 500 503 504");
    assert_eq!(statuses("get", "/keys"), "200 400 401 403 429 500 503 504");
    assert_eq!(statuses("delete", "/keys/{id}"), "204 400 401 403 404 429 500 503 504");
    assert_eq!(statuses("get", "/products/{id}/history"), "200 400 401 403 404 429 500 503 504");
    assert_eq!(statuses("get", "/bulks/{id}/history"), "200 400 401 403 429 500 503 504");
    for closed in ["HistoryPage", "HistoryItem", "PriceChange", "CurrencyChange", "StockChange"] {
        assert_eq!(document["components"]["schemas"][closed]["additionalProperties"], false, "{closed}");
    }
    let closed =
        ["NewProduct", "ProductPatch", "PatchLine", "Product", "Problem", "DoneLine", "RefusedLine", "BulkEnd"];
    for closed in closed {
        assert_eq!(document["components"]["schemas"][closed]["additionalProperties"], false, "{closed}");
    }
}
