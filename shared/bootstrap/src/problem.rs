//! The one form of every error answer: RFC 9457 problem details.
//!
//! `type` is `about:blank` where the status says it all, otherwise a relative URI that is stable (`/problems/...`):
//! clients branch on it, never on `title` or `detail`.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::request_id::current_request_id;

pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, and what to change (RFC 9457)
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// Stable name of the kind of problem; `about:blank` where the status says it all
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", example = "about:blank")]
    kind: String,
    /// Short summary of the kind of problem
    #[schema(example = "Not Found")]
    title: String,
    /// The HTTP status
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// What happened this time, and what would be accepted
    detail: String,
    /// Id of this request, also in the logs and in the `X-Request-Id` header
    request_id: String,
    /// The fields at fault
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldError>,
    /// What the product that was to be changed is now
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Object)]
    current: Option<serde_json::Value>,
    #[serde(skip)]
    retry_after_seconds: Option<u64>,
}

/// One field at fault
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldError {
    /// JSON Pointer into the request body, as a URI fragment
    #[schema(example = "#/price")]
    pub pointer: String,
    /// What is allowed there
    pub detail: String,
}

impl Problem {
    /// A problem that its status describes; `detail` says what happened and what would be accepted.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            request_id: current_request_id(),
            errors: Vec::new(),
            current: None,
            retry_after_seconds: None,
        }
    }

    /// Names the kind of problem: `kind` is a stable relative URI such as `/problems/stale-version`.
    pub fn of_kind(mut self, kind: &'static str, title: &'static str) -> Self {
        kind.clone_into(&mut self.kind);
        title.clone_into(&mut self.title);
        self
    }

    pub fn with_errors(mut self, errors: impl IntoIterator<Item = FieldError>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// Shows what the product is that was to be changed.
    pub fn with_current(mut self, current: serde_json::Value) -> Self {
        self.current = Some(current);
        self
    }

    /// Names the request, where this is not made while it is being served.
    pub fn of_request(mut self, id: &str) -> Self {
        id.clone_into(&mut self.request_id);
        self
    }

    /// Says when a retry may help, in the `Retry-After` header (rounded up to whole seconds).
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after_seconds = Some(wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        self
    }

    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub fn kind(&self) -> &str {
        &self.kind
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.errors
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("strings and numbers always serialize");
        let mut answer = (self.status(), body).into_response();
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_frozen() {
        let plain = Problem { request_id: "r1".into(), ..Problem::new(StatusCode::NOT_FOUND, "no product 7") };
        assert_eq!(
            serde_json::to_string(&plain).expect("serializes"),
            r#"{"type":"about:blank","title":"Not Found","status":404,"detail":"no product 7","request_id":"r1"}"#
        );
        let fields = Problem { request_id: "r2".into(), ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "one field") }
            .of_kind("/problems/invalid-field", "Invalid field")
            .with_errors([FieldError { pointer: "#/a~1b".into(), detail: "a string".into() }]);
        assert_eq!(
            serde_json::to_string(&fields).expect("serializes"),
            r##"{"type":"/problems/invalid-field","title":"Invalid field","status":422,"detail":"one field","request_id":"r2","errors":[{"pointer":"#/a~1b","detail":"a string"}]}"##
        );
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let answer = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "later")
            .retry_after(Duration::from_millis(1_200))
            .into_response();
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
    }
}
