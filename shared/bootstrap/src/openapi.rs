//! The `OpenAPI` document, closed so that a renamed field breaks a schema check, and the page that renders it.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use bytes::Bytes;
use serde_json::Value;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// The document as it is served and committed: every object schema allows only the properties that it names.
///
/// Do not use `#[serde(flatten)]` in wire types: schemas joined by `allOf` cannot each be closed, so such parts stay open.
pub fn document(api: &OpenApi) -> Value {
    let mut document = serde_json::to_value(api).expect("the document always serializes");
    close(&mut document);
    document
}

/// Adds `/openapi.json` and `/docs`.
pub fn with_docs(router: Router, document: &Value) -> Router {
    let body = Bytes::from(document.to_string());
    let serve_document = move || async move { ([(header::CONTENT_TYPE, "application/json")], body) };
    router
        .route("/openapi.json", get(serve_document))
        .merge(SwaggerUi::new("/docs").config(Config::new(["/openapi.json"])))
}

fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let is_schema = members.get("type").is_some_and(names_object) && members.contains_key("properties");
            if is_schema && !members.contains_key("additionalProperties") {
                members.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            for (name, member) in members {
                if name != "allOf" && name != "example" && name != "examples" {
                    close(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// `"object"`, or a list with it, such as `["object", "null"]`.
fn names_object(kind: &Value) -> bool {
    kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_object_that_names_properties_is_closed_wherever_it_stands() {
        let object = json!({"type": "object", "properties": {"a": {"type": ["object", "null"], "properties": {}}}});
        let mut document = json!({
            "components": {"schemas": {"Named": object}},
            "paths": {"/x": {"schema": {"oneOf": [object]}, "example": object}},
            "map": {"type": "object", "additionalProperties": {"type": "string"}, "properties": {}},
        });
        close(&mut document);
        let closed = json!({"type": "object", "additionalProperties": false, "properties":
            {"a": {"type": ["object", "null"], "additionalProperties": false, "properties": {}}}});
        assert_eq!(document["components"]["schemas"]["Named"], closed);
        assert_eq!(document["paths"]["/x"]["schema"]["oneOf"][0], closed);
        assert_eq!(document["paths"]["/x"]["example"], object);
        assert_eq!(document["map"]["additionalProperties"], json!({"type": "string"}));
    }
}
