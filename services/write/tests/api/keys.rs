//! API keys: who is let in, and what the others are told.

use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode};
use freshet_write::http;
use freshet_write::keys::Scope;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::holds;
use time::OffsetDateTime;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::shop::{Answer, JSON, NDJSON, Shop, results};

/// A body that must not be read.
fn unread() -> Body {
    Body::from_stream(stream::once(async { panic!("the body was read") as Result<Bytes, std::io::Error> }))
}

/// The method and the path of every operation that the document has.
fn operations() -> Vec<(Method, String)> {
    let document = http::document();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            let path = path.replace("/keys/{id}", "/keys/0123456789ab").replace("{id}", "1");
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| (Method::from_str(&method.to_uppercase()).unwrap(), path.clone()))
        })
        .collect()
}

/// One bad key of each kind, as `Authorization`.
async fn bad_keys(shop: &Shop) -> Vec<String> {
    let (revoked, expired) = (shop.issue(&Scope::ALL, None).await, shop.issue(&Scope::ALL, None).await);
    assert_eq!(
        shop.send(Method::DELETE, &format!("/keys/{}", revoked.id), "", "").await.status,
        StatusCode::NO_CONTENT
    );
    sqlx::query("update api_keys set expires_at = clock_timestamp() where id = $1")
        .bind(expired.id.as_str())
        .execute(&shop.app.primary.pool)
        .await
        .unwrap();
    let good = shop.key().await;
    // Of the last letter only four bits count, the rest is no part of the secret but of the key.
    let (last, others) = (good.chars().last().unwrap(), &good[..good.len() - 1]);
    let wrong_secret = format!("{others}{}", if last == 'A' { 'B' } else { 'A' });
    let unknown = format!("freshet_0123456789ab_{}", &good[21..]);
    let keys = [&revoked.key, &expired.key, &wrong_secret, &unknown, "freshet", ""].map(|key| format!("Bearer {key}"));
    [keys.to_vec(), vec![String::new(), "Basic dTpw".to_owned(), good.to_owned()]].concat()
}

#[sqlx::test(migrations = "../../migrations")]
async fn every_operation_answers_every_kind_of_bad_key_in_the_same_words(db: PgPool) {
    let shop = Shop::new(db.clone());
    let bad_keys = bad_keys(&shop).await;
    let keys: i64 =
        sqlx::query_scalar("select count(*) from api_keys where revoked_at is null").fetch_one(&db).await.unwrap();
    assert_eq!(operations().len(), 9);
    let mut told = Vec::new();
    for (method, path) in operations() {
        for bad_key in &bad_keys {
            for media_type in [JSON, NDJSON] {
                let answer = shop.send_as(bad_key, method.clone(), &path, media_type, unread()).await;
                assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {path} {bad_key}");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
                assert!(answer.pointers().is_empty());
                let mut body = answer.json();
                body["request_id"] = Value::Null;
                told.push(body);
            }
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["detail"], "a valid API key is needed, as `Authorization: Bearer <key>`");
    assert_eq!((shop.count_products().await, shop.events().await.len()), (0, 0));
    let still: i64 =
        sqlx::query_scalar("select count(*) from api_keys where revoked_at is null").fetch_one(&db).await.unwrap();
    assert_eq!(still, keys);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_without_the_scope_is_told_which_one_is_needed_before_the_body_is_read(db: PgPool) {
    let shop = Shop::new(db);
    let id = shop.lamp().await;
    let product = format!("/products/{id}");
    for (scope, method, path, media_type) in [
        (Scope::ProductsWrite, Method::PATCH, product.as_str(), JSON),
        (Scope::ProductsWrite, Method::DELETE, &product, ""),
        (Scope::ProductsWrite, Method::POST, "/products", JSON),
        (Scope::ProductsBulk, Method::POST, "/products", NDJSON),
        (Scope::KeysAdmin, Method::POST, "/keys", JSON),
        (Scope::KeysAdmin, Method::GET, "/keys", ""),
        (Scope::KeysAdmin, Method::DELETE, "/keys/0123456789ab", ""),
    ] {
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|other| *other != scope).collect();
        let bearer = format!("Bearer {}", shop.issue(&others, None).await.key);
        let answer = shop.send_as(&bearer, method.clone(), path, media_type, unread()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path} {media_type}");
        assert!(answer.pointers().is_empty());
        assert_eq!(answer.json()["type"], "/problems/missing-scope");
        assert_eq!(answer.json()["detail"], format!("this needs an API key with the scope {scope}"));
    }
    assert_eq!((shop.count_products().await, shop.events().await.len()), (1, 1));
}

#[sqlx::test(migrations = "../../migrations")]
async fn each_scope_is_enough_for_what_it_allows(db: PgPool) {
    let shop = Shop::new(db);
    let product = format!("/products/{}", shop.lamp().await);
    let line = r#"{"sku":"LAMP-2","name":"Lamp","price":"1"}"#;
    for (scope, method, path, media_type, body, status) in [
        (Scope::ProductsWrite, Method::PATCH, product.as_str(), JSON, r#"{"stock":1}"#, 200),
        (Scope::ProductsBulk, Method::POST, "/products", NDJSON, line, 200),
        (Scope::KeysAdmin, Method::POST, "/keys", JSON, r#"{"name":"a","scopes":["keys:admin"]}"#, 201),
        (Scope::ProductsWrite, Method::DELETE, &product, "", "", 204),
    ] {
        let bearer = format!("bearer {}", shop.issue(&[scope], None).await.key);
        let answer = shop.send_as(&bearer, method, path, media_type, body).await;
        assert_eq!(answer.status.as_u16(), status, "{scope} {}", String::from_utf8_lossy(&answer.body));
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_is_shown_once_listed_without_its_secret_and_revoked_for_good(db: PgPool) {
    let shop = Shop::new(db.clone());
    let body = r#"{"name":"price feed","scopes":["products:write"],"expires_at":"2999-01-01T00:00:00Z"}"#;
    let created = shop.send(Method::POST, "/keys", JSON, body).await;
    assert_eq!((created.status, created.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let issued = created.json();
    let (id, key) = (issued["id"].as_str().unwrap(), issued["key"].as_str().unwrap());
    assert_eq!(created.header("location"), format!("/keys/{id}"));
    let bearer = format!("Bearer {key}");
    let lamp = r#"{"sku":"LAMP-1","name":"Lamp","price":"1"}"#;
    assert_eq!(shop.send_as(&bearer, Method::POST, "/products", JSON, lamp).await.status, StatusCode::CREATED);

    let listed = shop.send(Method::GET, "/keys", "", "").await;
    assert_eq!(listed.header("cache-control"), "no-store");
    let expected = json!({"id": id, "name": "price feed", "scopes": ["products:write"], "created_at": issued["created_at"],
        "expires_at": "2999-01-01T00:00:00Z", "revoked_at": null, "last_used_at": null});
    assert_eq!(listed.json()["items"][0], expected);
    assert_eq!((listed.json()["items"].as_array().unwrap().len(), &listed.json()["next_cursor"]), (2, &Value::Null));
    let rows: String =
        sqlx::query_scalar("select string_agg(k::text, ' ') from api_keys k").fetch_one(&db).await.unwrap();
    for told in [String::from_utf8(listed.body.to_vec()).unwrap(), rows] {
        assert!(!told.contains(&key[21..]), "{told}");
    }

    for _ in 0..2 {
        assert_eq!(shop.send(Method::DELETE, &format!("/keys/{id}"), "", "").await.status, StatusCode::NO_CONTENT);
        let refused = shop.send_as(&bearer, Method::PATCH, "/products/1", JSON, r#"{"stock":9}"#).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    assert_ne!(shop.send(Method::GET, "/keys", "", "").await.json()["items"][0]["revoked_at"], Value::Null);
    let unknown = shop.send(Method::DELETE, "/keys/0123456789ab", "", "").await;
    assert_eq!(
        (unknown.status, &unknown.json()["detail"]),
        (StatusCode::NOT_FOUND, &json!("there is no key 0123456789ab"))
    );
    assert_eq!(shop.send(Method::DELETE, "/keys/1", "", "").await.status, StatusCode::BAD_REQUEST);
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_list_of_keys_goes_on_where_the_page_before_ended(db: PgPool) {
    let shop = Shop::new(db);
    let mut ids = vec![shop.key().await[8..20].to_owned()];
    for _ in 0..4 {
        ids.push(shop.issue(&[Scope::KeysAdmin], None).await.id.to_string());
    }
    let (mut seen, mut path) = (Vec::new(), "/keys?limit=2".to_owned());
    loop {
        let page = shop.send(Method::GET, &path, "", "").await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/keys?limit=2&cursor={cursor}");
    }
    seen.reverse();
    assert_eq!(seen, ids);
    for bad in ["limit=0", "limit=1001", "limit=x", "cursor=1", "page=2"] {
        assert_eq!(
            shop.send(Method::GET, &format!("/keys?{bad}"), "", "").await.status,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_that_is_asked_for_in_a_wrong_way_is_refused_with_the_fields_at_fault(db: PgPool) {
    let shop = Shop::new(db);
    for (body, pointers) in [
        ("{}", &["#/name", "#/scopes"][..]),
        (r#"{"name":"","scopes":[]}"#, &["#/name", "#/scopes"]),
        (r#"{"name":"a","scopes":["products:read"]}"#, &["#/scopes"]),
        (r#"{"name":"a","scopes":["keys:admin"],"expires_at":"2020-01-01T00:00:00Z"}"#, &["#/expires_at"]),
        (r#"{"name":"a","scopes":["keys:admin"],"id":"0123456789ab"}"#, &["#/id"]),
    ] {
        let answer = shop.send(Method::POST, "/keys", JSON, body).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        assert_eq!(answer.pointers(), pointers, "{body}");
    }
    let answer = shop.send(Method::POST, "/keys", NDJSON, "{}").await;
    assert_eq!((answer.status.as_u16(), answer.header("accept-post")), (415, "application/json"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn a_key_expires_also_while_it_is_kept_in_memory(db: PgPool) {
    let shop = Shop::new(db);
    let soon = OffsetDateTime::now_utc() + Duration::from_secs(2);
    let bearer = format!("Bearer {}", shop.issue(&Scope::ALL, Some(soon)).await.key);
    let listed = async || shop.send_as(&bearer, Method::GET, "/keys", "", "").await.status;
    assert_eq!(listed().await, StatusCode::OK);
    holds(async || listed().await == StatusCode::UNAUTHORIZED).await;
    let late = OffsetDateTime::now_utc() - soon;
    assert!(late >= Duration::ZERO && late < Duration::from_secs(5), "{late}");
}

/// How many looks into the database ended so.
fn looks(result: &str) -> f64 {
    let name = format!("freshet_key_lookups_total{{result=\"{result}\"}} ");
    let metrics = bootstrap::install_metrics().unwrap().render();
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0.0)
}

#[sqlx::test(migrations = "../../migrations")]
async fn many_requests_with_one_key_cost_one_look_and_malformed_ones_none(db: PgPool) {
    assert!(looks("found") < 0.5);
    let shop = Shop::new(db);
    let good = format!("Bearer {}", shop.key().await);
    let unknown = format!("Bearer freshet_0123456789ab_{}", &good[28..]);
    let malformed = format!("Bearer freshet_0123456789AB_{}", &good[28..]);
    for (bearer, status) in
        [(&good, StatusCode::OK), (&unknown, StatusCode::UNAUTHORIZED), (&malformed, StatusCode::UNAUTHORIZED)]
    {
        let asked = (0..50).map(|_| shop.send_as(bearer, Method::GET, "/keys", "", ""));
        for answer in join_all(asked).await {
            assert_eq!(answer.status, status, "{bearer}");
        }
    }
    assert!((looks("found") - 1.0).abs() < 0.5, "{}", looks("found"));
    assert!((looks("unknown") - 1.0).abs() < 0.5, "{}", looks("unknown"));
}

#[sqlx::test(migrations = "../../migrations")]
async fn while_the_database_is_away_a_kept_key_is_still_good_and_any_other_may_be(db: PgPool) {
    let shop = Shop::new(db.clone());
    let (kept, other) = (shop.issue(&Scope::ALL, None).await.key, shop.issue(&Scope::ALL, None).await.key);
    let no_json = async |key: &str| -> Answer {
        shop.send_as(&format!("Bearer {key}"), Method::PATCH, "/products/1", JSON, "no json").await
    };
    assert_eq!(no_json(&kept).await.status, StatusCode::BAD_REQUEST);
    db.close().await;

    assert_eq!(no_json(&kept).await.status, StatusCode::BAD_REQUEST);
    let answer = no_json(&other).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["detail"], "the API key could not be checked, and nothing was changed");
    assert_eq!(answer.header("retry-after"), "1");
}

#[sqlx::test(migrations = "../../migrations")]
async fn the_last_use_of_a_key_is_noted_once_a_minute_and_not_by_the_request(db: PgPool) {
    let shop = Shop::new(db.clone());
    let begun = OffsetDateTime::now_utc();
    let last_used = async || -> Option<OffsetDateTime> {
        sqlx::query_scalar("select max(last_used_at) from api_keys").fetch_one(&db).await.unwrap()
    };
    shop.lamp().await;
    assert_eq!(last_used().await, None);
    assert_eq!(shop.app.keys.note_uses_once().await.unwrap(), 1);
    let noted = last_used().await.unwrap();
    assert!(noted >= begun - Duration::from_millis(1), "{noted} {begun}");
    assert_eq!(shop.app.keys.note_uses_once().await.unwrap(), 0, "nothing is left");

    // Another instance, which knows of no use before.
    let other = Shop::new(db.clone());
    let bearer = format!("Bearer {}", shop.key().await);
    other.send_as(&bearer, Method::GET, "/keys", "", "").await;
    assert_eq!(other.app.keys.note_uses_once().await.unwrap(), 0, "it was noted within the minute");
    sqlx::query("update api_keys set last_used_at = last_used_at - interval '1 hour'").execute(&db).await.unwrap();
    let third = Shop::new(db.clone());
    third.send_as(&bearer, Method::GET, "/keys", "", "").await;
    assert_eq!(third.app.keys.note_uses_once().await.unwrap(), 1);
    assert!(last_used().await.unwrap() >= noted);
}

#[sqlx::test(migrations = "../../migrations")]
async fn an_import_ends_when_its_key_is_revoked(db: PgPool) {
    let shop = Shop::new(db);
    let (sender, lines) = tokio::sync::mpsc::unbounded_channel();
    let body = Body::from_stream(UnboundedReceiverStream::new(lines).map(Ok::<_, std::io::Error>));
    let mut answer = shop.import(body).await.into_body().into_data_stream();
    let line = |sku: &str| format!("{{\"sku\":\"{sku}\",\"name\":\"Lamp\",\"price\":\"1\"}}\n");
    sender.send(line("A")).unwrap();
    assert_eq!(results(&answer.next().await.unwrap().unwrap())[0]["status"], 201);

    let own = format!("/keys/{}", &shop.key().await[8..20]);
    assert_eq!(shop.send(Method::DELETE, &own, "", "").await.status, StatusCode::NO_CONTENT);
    sender.send(line("B")).unwrap();

    let refused = results(&answer.next().await.unwrap().unwrap());
    assert_eq!((&refused[0]["line"], &refused[0]["status"]), (&json!(2), &json!(401)));
    let token = results(&answer.next().await.unwrap().unwrap());
    assert!(token[0]["consistency_token"].is_string());
    assert!(answer.next().await.is_none());
    assert_eq!(shop.count_products().await, 1);
}
