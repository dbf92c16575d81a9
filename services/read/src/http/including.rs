//! `Consistency-Token` of a request: the writes that its answer must include.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use bootstrap::Problem;
use freshness::{Requirement, TokenFault};

use crate::error::ReadError;

/// What the tokens of a request ask for; nothing if there are none.
pub(crate) struct Including(pub(crate) Requirement);

impl<S: Send + Sync> FromRequestParts<S> for Including {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut texts = Vec::new();
        for value in parts.headers.get_all("consistency-token") {
            texts.push(value.to_str().map_err(|_| ReadError::Token(TokenFault::NotOurs))?);
        }
        Ok(Self(Requirement::parse(texts).map_err(ReadError::Token)?))
    }
}
