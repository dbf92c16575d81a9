//! The document and the page that renders it.

use axum::Router;
use axum::http::StatusCode;
use bootstrap::{Problem, document, with_docs};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};

use crate::start;

#[derive(Serialize, ToSchema)]
struct Thing {
    id: u64,
}

#[derive(OpenApi)]
#[openapi(components(schemas(Thing, Problem)))]
struct Api;

#[tokio::test]
async fn the_document_is_served_closed_and_every_member_of_a_problem_that_is_always_there_is_required() {
    let service = start(with_docs(Router::new(), &document(&Api::openapi())), &[]).await;
    let answer = service.public.get("/openapi.json").await.unwrap();
    assert_eq!(answer.header("content-type"), "application/json");
    let document: Value = answer.json().unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Thing"]["additionalProperties"], false);
    assert_eq!(schemas["Problem"]["additionalProperties"], false);
    assert_eq!(schemas["Problem"]["required"], json!(["type", "title", "status", "detail", "request_id"]));
    let members: Vec<_> = schemas["Problem"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(members.len(), 7, "{members:?}");
}

#[tokio::test]
async fn the_page_and_all_that_it_loads_come_from_the_service_itself() {
    let service = start(with_docs(Router::new(), &document(&Api::openapi())), &[]).await;
    let moved = service.public.get("/docs").await.unwrap();
    assert_eq!((moved.status, moved.header("location")), (StatusCode::SEE_OTHER, "/docs/"));
    let page = service.public.get("/docs/").await.unwrap();
    let html = String::from_utf8_lossy(&page.body);
    assert!(!html.contains("http://") && !html.contains("https://"), "{html}");
    let start = service.public.get("/docs/swagger-initializer.js").await.unwrap();
    assert!(String::from_utf8_lossy(&start.body).contains("\"/openapi.json\""));
    assert_eq!(service.public.get("/docs/swagger-ui-bundle.js").await.unwrap().status, StatusCode::OK);
}
