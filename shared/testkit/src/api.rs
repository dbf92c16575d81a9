//! The few requests that most tests of a whole stack make.

use catalog::{Product, ProductId};
use client::{Client, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// Creates a product with this sku that costs 19.99 USD, 4 in stock.
///
/// # Panics
/// It is not created.
pub async fn create(catalogue: &Client, sku: &str) -> Product {
    let body = format!(r#"{{"sku":"{sku}","name":"Lamp {sku}","price":"19.99","stock":4}}"#);
    let answer = send(catalogue, Method::POST, "/products", "application/json", body).await;
    let answer = answer.expect("the catalogue answers");
    assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.problem());
    answer.json().expect("a product")
}

/// Sends a price patch; the answer may be anything, or none.
pub async fn try_set_price(catalogue: &Client, id: ProductId, price: &str) -> Option<Response> {
    let body = format!(r#"{{"price":"{price}"}}"#);
    send(catalogue, Method::PATCH, &format!("/products/{id}"), "application/merge-patch+json", body).await
}

/// Sets a product's price and returns the product as it is then.
///
/// # Panics
/// The patch is not accepted.
pub async fn set_price(catalogue: &Client, id: ProductId, price: &str) -> Product {
    let answer = try_set_price(catalogue, id, price).await.expect("the catalogue answers");
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.problem());
    answer.json().expect("a product")
}

/// The product, if it is served.
///
/// # Panics
/// There is no answer, or one that is neither 200 nor 404.
pub async fn try_read(catalogue: &Client, id: ProductId) -> Option<Product> {
    let answer = catalogue.get(&format!("/products/{id}")).await.expect("the catalogue answers");
    match answer.status {
        StatusCode::OK => Some(answer.json().expect("a product")),
        StatusCode::NOT_FOUND => None,
        _ => panic!("product {id}: {:?}", answer.problem()),
    }
}

/// The product.
///
/// # Panics
/// It is not served.
pub async fn read(catalogue: &Client, id: ProductId) -> Product {
    try_read(catalogue, id).await.expect("the product exists")
}

/// The value of a metric of a service, by the beginning of its line; 0 while there is none.
///
/// # Panics
/// There is no answer.
pub async fn metric(ops: &Client, line: &str) -> f64 {
    let metrics = ops.get("/metrics").await.expect("the service answers");
    let text = String::from_utf8_lossy(&metrics.body);
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.split_whitespace().next()?.parse().ok());
    value.unwrap_or(0.0)
}

async fn send(
    catalogue: &Client,
    method: Method,
    path: &str,
    media_type: &'static str,
    body: String,
) -> Option<Response> {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media_type))]);
    catalogue.request(method, path, headers, body).await.ok()
}
