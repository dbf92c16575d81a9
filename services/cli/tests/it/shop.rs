//! A stand-in of the services that keeps products and their history as they do.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::serving;

pub(crate) const BULK: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

type Parameters = Query<HashMap<String, String>>;

#[derive(Clone, Default)]
pub(crate) struct Shop(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    products: BTreeMap<i64, Value>,
    history: Vec<Value>,
    /// As they came, with their `If-Match`.
    patches: Vec<(i64, String, Value)>,
    /// What somebody else does to a product right before the next patch of it.
    races: HashMap<i64, Value>,
    /// What a read node still shows unless it is asked for what is there now.
    shown: HashMap<i64, Value>,
    /// Patches of it are answered like this.
    refusing: HashMap<i64, StatusCode>,
}

impl Shop {
    pub(crate) async fn url(&self) -> String {
        let router = Router::new()
            .route("/products/{id}", get(product).patch(patch))
            .route("/products/{id}/history", get(history))
            .route("/bulks/{id}/history", get(bulk_history))
            .with_state(self.clone());
        format!("http://{}", serving(router).await)
    }

    pub(crate) fn create(&self, id: i64, price: &str, stock: i64, bulk: Option<&str>) {
        let product = json!({"id": id, "version": 0, "price": null, "currency": null, "stock": null});
        self.kept().products.insert(id, product);
        self.change(id, &json!({"price": price, "currency": "USD", "stock": stock}), bulk);
    }

    /// As another client does it.
    pub(crate) fn change(&self, id: i64, patch: &Value, bulk: Option<&str>) {
        self.kept().apply(id, patch, bulk);
    }

    pub(crate) fn delete(&self, id: i64) {
        self.kept().products.remove(&id);
    }

    /// From now on a product is shown as it is at this moment.
    pub(crate) fn show_as_now(&self, id: i64) {
        let mut kept = self.kept();
        let product = kept.products[&id].clone();
        kept.shown.insert(id, product);
    }

    pub(crate) fn race(&self, id: i64, patch: Value) {
        self.kept().races.insert(id, patch);
    }

    pub(crate) fn refuse(&self, id: i64, status: StatusCode) {
        self.kept().refusing.insert(id, status);
    }

    pub(crate) fn patches(&self) -> Vec<(i64, String, Value)> {
        self.kept().patches.clone()
    }

    /// Price and stock.
    pub(crate) fn offer(&self, id: i64) -> (String, i64) {
        let product = self.kept().products[&id].clone();
        (product["price"].as_str().unwrap().to_owned(), product["stock"].as_i64().unwrap())
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }
}

impl Kept {
    fn apply(&mut self, id: i64, patch: &Value, bulk: Option<&str>) {
        let product = self.products.get_mut(&id).unwrap();
        let before = product.clone();
        for (field, value) in patch.as_object().unwrap() {
            product[field] = value.clone();
        }
        product["version"] = (before["version"].as_i64().unwrap() + 1).into();
        let moved = |field: &str| json!({"from": before[field], "to": product[field]});
        if ["price", "currency", "stock"].iter().any(|field| before[field] != product[field]) {
            let changed_at = format!("2026-01-{:02}T12:00:00Z", product["version"].as_i64().unwrap());
            self.history.push(json!({"product_id": id, "version": product["version"], "changed_at": changed_at,
                "actor": "ann", "reason": patch["reason"], "bulk_id": bulk, "price": moved("price"),
                "currency": moved("currency"), "stock": moved("stock")}));
        }
    }
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let problem = json!({"type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(),
        "detail": detail, "request_id": "r"});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
}

async fn product(State(shop): State<Shop>, Path(id): Path<i64>, headers: HeaderMap) -> Response {
    let kept = shop.kept();
    let shown = kept.shown.get(&id).filter(|_| !headers.contains_key(header::CACHE_CONTROL));
    match shown.or_else(|| kept.products.get(&id)) {
        Some(product) => Json(product).into_response(),
        None => problem(StatusCode::NOT_FOUND, "there is no such product"),
    }
}

async fn patch(State(shop): State<Shop>, Path(id): Path<i64>, headers: HeaderMap, body: Bytes) -> Response {
    let mut kept = shop.kept();
    let if_match = headers[header::IF_MATCH].to_str().unwrap().to_owned();
    let body: Value = serde_json::from_slice(&body).unwrap();
    kept.patches.push((id, if_match.clone(), body.clone()));
    if let Some(status) = kept.refusing.get(&id) {
        return problem(*status, "not now");
    }
    if let Some(other) = kept.races.remove(&id) {
        kept.apply(id, &other, None);
    }
    if if_match != format!("\"{}\"", kept.products[&id]["version"]) {
        return problem(StatusCode::PRECONDITION_FAILED, "the product has changed");
    }
    kept.apply(id, &body, None);
    Json(&kept.products[&id]).into_response()
}

/// A page of rows in their order, with a number as cursor.
fn page(rows: &[Value], parameters: &HashMap<String, String>) -> Response {
    let from: usize = parameters.get("cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let limit: usize = parameters["limit"].parse().unwrap();
    assert!((1..=100).contains(&limit), "{limit}");
    let to = rows.len().min(from + limit);
    let next = (to < rows.len()).then(|| to.to_string());
    Json(json!({"items": rows[from..to], "next_cursor": next})).into_response()
}

async fn history(State(shop): State<Shop>, Path(id): Path<i64>, Query(parameters): Parameters) -> Response {
    let kept = shop.kept();
    let rows: Vec<Value> = kept.history.iter().rev().filter(|row| row["product_id"] == id).cloned().collect();
    if rows.is_empty() {
        problem(StatusCode::NOT_FOUND, "there never was such a product")
    } else {
        page(&rows, &parameters)
    }
}

async fn bulk_history(State(shop): State<Shop>, Path(id): Path<String>, Query(parameters): Parameters) -> Response {
    let kept = shop.kept();
    let mut rows: Vec<Value> = kept.history.iter().filter(|row| row["bulk_id"] == *id).cloned().collect();
    rows.sort_by_key(|row| (row["product_id"].as_i64(), row["version"].as_i64()));
    page(&rows, &parameters)
}
