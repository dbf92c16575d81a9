//! Who makes a request.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::commit::Author;

/// The name under which changes are kept.
#[derive(Clone, Debug)]
pub(crate) struct Actor(Arc<str>);

impl From<Actor> for Author {
    fn from(Actor(actor): Actor) -> Self {
        Self { actor, bulk_id: None }
    }
}

impl<S: Sync> FromRequestParts<S> for Actor {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self("anybody".into()))
    }
}
