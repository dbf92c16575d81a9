//! Lets a request in by its API key, before its body is read.

use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use super::body::{NDJSON, media_type};
use crate::app::App;
use crate::error::WriteError;
use crate::keys::{Permit, PresentedKey, Scope};

/// What an endpoint needs a key for.
pub(super) trait Needs {
    fn scope(request: &Parts) -> Scope;
}

/// Only single products are changed.
pub(super) struct ProductsWrite;

/// Many products are changed.
pub(super) struct ProductsBulk;

/// One product or many, as the media type says.
pub(super) struct ProductsOneOrMany;

pub(super) struct KeysAdmin;

/// Extracted first, so that whoever is not let in learns nothing else.
pub(super) struct Allowed<N> {
    pub(super) permit: Permit,
    need: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<App> for Allowed<N> {
    type Rejection = WriteError;

    async fn from_request_parts(request: &mut Parts, app: &App) -> Result<Self, WriteError> {
        let presented = PresentedKey::of(&request.headers);
        // Whatever comes after this cannot log or pass on what it does not have.
        request.headers.remove(header::AUTHORIZATION);
        let permit = app.keys.permit(presented, N::scope(request)).await?;
        Ok(Self { permit, need: PhantomData })
    }
}

impl Needs for ProductsWrite {
    fn scope(_: &Parts) -> Scope {
        Scope::ProductsWrite
    }
}

impl Needs for ProductsBulk {
    fn scope(_: &Parts) -> Scope {
        Scope::ProductsBulk
    }
}

impl Needs for ProductsOneOrMany {
    fn scope(request: &Parts) -> Scope {
        if media_type(&request.headers).eq_ignore_ascii_case(NDJSON) {
            Scope::ProductsBulk
        } else {
            Scope::ProductsWrite
        }
    }
}

impl Needs for KeysAdmin {
    fn scope(_: &Parts) -> Scope {
        Scope::KeysAdmin
    }
}
