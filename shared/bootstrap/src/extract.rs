//! Path and query extractors that answer a [`Problem`] where axum's own would answer plain text.

use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The one parameter of a path, read by [`FromStr`] (not by serde, which takes `+7` and `007` for 7); 400 with the reason.
pub struct ApiPath<T>(pub T);

/// [`Query`], answering 400 with the parameter and the reason; let `T` deny unknown fields to refuse mistyped names.
pub struct ApiQuery<T>(pub T);

impl<T, S> FromRequestParts<S> for ApiPath<T>
where
    T: FromStr + Send,
    T::Err: Display,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let refused = |status, reason: &dyn Display| Problem::new(status, format!("path: {reason}"));
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|rejection| refused(rejection.status(), &root_cause(&rejection)))?;
        text.parse().map(Self).map_err(|fault: T::Err| refused(StatusCode::BAD_REQUEST, &fault))
    }
}

impl<T, S> FromRequestParts<S> for ApiQuery<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(value) = Query::from_request_parts(parts, state).await.map_err(|rejection| {
            Problem::new(StatusCode::BAD_REQUEST, format!("query parameter {}", root_cause(&rejection)))
        })?;
        Ok(Self(value))
    }
}

/// The innermost error: axum's outer ones only repeat that deserialization failed.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
