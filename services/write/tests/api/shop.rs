//! A write service in this process, and what a client and an onlooker of its database see.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::Response;
use bootstrap::{Framed, Health, public_layers};
use catalog::{Product, ProductRow};
use clap::Parser;
use events::Change;
use freshet_write::app::App;
use freshet_write::config::{Cli, Command, Settings};
use freshet_write::http;
use freshet_write::keys::{IssuedKey, NewKey, Scope, issue};
use freshness::Token;
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use tower::ServiceExt;

pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const NDJSON: &str = "application/x-ndjson";

pub(crate) struct Shop {
    pub(crate) app: App,
    pub(crate) router: Framed,
    /// Made when it is first needed.
    key: OnceCell<String>,
}

/// An outbox row.
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) data: String,
    pub(crate) change: Change,
}

impl Shop {
    pub(crate) fn new(db: PgPool) -> Self {
        Self::of(App::new(db, None))
    }

    pub(crate) fn of(app: App) -> Self {
        let router = public_layers(http::router(app.clone()), &settings().serve, &Health::new(&[]));
        Self { app, router, key: OnceCell::new() }
    }

    /// Two instances of one database, and a client that uses both with one key.
    pub(crate) async fn two(db: &PgPool) -> [Self; 2] {
        let first = Self::new(db.clone());
        let second = Self::new(db.clone()).with_key(first.key().await);
        [first, second]
    }

    /// With a key of another instance's, where none can be made.
    pub(crate) fn with_key(self, key: &str) -> Self {
        Self { key: OnceCell::new_with(Some(key.to_owned())), ..self }
    }

    /// A key that allows everything.
    pub(crate) async fn key(&self) -> &str {
        self.key.get_or_init(async || self.issue(&Scope::ALL, None).await.key).await
    }

    pub(crate) async fn issue(&self, scopes: &[Scope], expires_at: Option<OffsetDateTime>) -> IssuedKey {
        let new = NewKey::new("price feed", scopes.iter().copied().collect(), expires_at).unwrap();
        issue(&mut self.app.primary.pool.acquire().await.unwrap(), new).await.unwrap()
    }

    pub(crate) async fn send(&self, method: Method, path: &str, media_type: &str, body: impl Into<Body>) -> Answer {
        let bearer = format!("Bearer {}", self.key().await);
        self.send_as(&bearer, method, path, media_type, body).await
    }

    /// With this `Authorization`, or none if it is empty.
    pub(crate) async fn send_as(
        &self,
        authorization: &str,
        method: Method,
        path: &str,
        media_type: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !authorization.is_empty() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if !media_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        Answer::read(self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()).await
    }

    /// Changes one product, with these headers.
    pub(crate) async fn change(&self, method: Method, id: i64, headers: &[(&str, &str)], json: &str) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/products/{id}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key().await))
            .header(header::CONTENT_TYPE, MERGE_PATCH);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(json.to_owned())).unwrap();
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub(crate) async fn post(&self, json: &str) -> Answer {
        self.send(Method::POST, "/products", JSON, json.to_owned()).await
    }

    pub(crate) async fn patch(&self, id: i64, json: &str) -> Answer {
        self.send(Method::PATCH, &format!("/products/{id}"), MERGE_PATCH, json.to_owned()).await
    }

    pub(crate) async fn delete(&self, id: i64) -> Answer {
        self.send(Method::DELETE, &format!("/products/{id}"), "", Body::empty()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "", Body::empty()).await
    }

    /// The changes of all pages of a history.
    pub(crate) async fn history(&self, path: &str) -> Vec<Value> {
        let mut changes = Vec::new();
        let mut next = format!("{path}?limit=100");
        loop {
            let page = self.get(&next).await.json();
            changes.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { return changes };
            next = format!("{path}?limit=100&cursor={cursor}");
        }
    }

    /// Creates a lamp and returns its id.
    pub(crate) async fn lamp(&self) -> i64 {
        let json = r#"{"sku":"LAMP-1","name":"Lamp","brand":"Lumo","price":"19.99","stock":4}"#;
        self.post(json).await.json()["id"].as_i64().unwrap()
    }

    /// Begins a stream of lines; its answer can be read while `body` is still being made.
    pub(crate) async fn stream(&self, method: Method, path: &str, key: &str, body: impl Into<Body>) -> Response {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.key().await))
            .header(header::CONTENT_TYPE, NDJSON);
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    /// Patches everything, and returns all lines of the answer.
    pub(crate) async fn patch_all(&self, key: &str, lines: impl Into<Body>) -> Vec<Value> {
        let answer = Answer::read(self.stream(Method::PATCH, "/products", key, lines).await).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, NDJSON));
        results(&answer.body)
    }

    /// Begins an import; its answer can be read while `body` is still being made.
    pub(crate) async fn import(&self, body: Body) -> Response {
        let bearer = format!("Bearer {}", self.key().await);
        let request = Request::post("/products").header(header::CONTENT_TYPE, NDJSON);
        let request = request.header(header::AUTHORIZATION, bearer).body(body).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], NDJSON);
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        answer
    }

    /// Imports everything, and returns the results without the token that ends them.
    pub(crate) async fn import_all(&self, lines: impl Into<Body>) -> Vec<Value> {
        self.import_for_token(lines).await.0
    }

    /// Imports everything, and returns the results and the token.
    pub(crate) async fn import_for_token(&self, lines: impl Into<Body>) -> (Vec<Value>, Token) {
        let answer = Answer::read(self.import(lines.into()).await).await;
        let mut results = results(&answer.body);
        let token = token(&results.pop().unwrap());
        (results, token)
    }

    /// The product as a later query finds it; `None` if it is deleted.
    pub(crate) async fn stored(&self, id: i64) -> Option<Product> {
        let row: Option<ProductRow> = sqlx::query_as(
            "select id, sku, name, description, brand, category, image_url, price, currency, stock, version,
                    created_at, updated_at
             from products
             where id = $1
               and deleted_at is null",
        )
        .bind(id)
        .fetch_optional(&self.app.primary.pool)
        .await
        .unwrap();
        row.map(|row| row.try_into().unwrap())
    }

    pub(crate) async fn count_products(&self) -> i64 {
        sqlx::query_scalar("select count(*) from products where deleted_at is null")
            .fetch_one(&self.app.primary.pool)
            .await
            .unwrap()
    }

    /// Everything that the relay would publish, in order.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as("select product_id, kind, data from outbox order by id")
            .fetch_all(&self.app.primary.pool)
            .await
            .unwrap();
        rows.into_iter()
            .map(|(product_id, kind, data)| {
                let change: Change = serde_json::from_str(&data).unwrap();
                assert_eq!((change.id.get(), change.kind().word()), (product_id, kind.as_str()));
                Event { kind, data, change }
            })
            .collect()
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read(answer: Response) -> Self {
        let (parts, body) = answer.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn token(&self) -> Token {
        Token::parse(self.header("consistency-token")).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The pointers of the fields at fault, of an answer that is a whole problem.
    pub(crate) fn pointers(&self) -> Vec<String> {
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.header("cache-control"), "no-store");
        let problem: bootstrap::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status(), self.status);
        assert_eq!(self.json()["request_id"], self.header("x-request-id"));
        problem.errors().iter().map(|error| error.pointer.clone()).collect()
    }
}

pub(crate) fn settings() -> Settings {
    let Command::Serve(settings) = Cli::parse_from(["freshet-write"]).into_command() else { unreachable!("it serves") };
    *settings
}

/// What the last line of a bulk that was stored holds, beside the bulk's id.
pub(crate) fn token(last: &Value) -> Token {
    let names: Vec<&str> = last.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["bulk_id", "consistency_token"]);
    Token::parse(last["consistency_token"].as_str().unwrap()).unwrap()
}

pub(crate) fn results(ndjson: &[u8]) -> Vec<Value> {
    ndjson
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| {
            assert!(line.ends_with(b"\n"));
            serde_json::from_slice(line).unwrap()
        })
        .collect()
}
