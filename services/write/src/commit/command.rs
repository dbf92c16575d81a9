//! What a client wants done to one product, and what came of it.

use std::sync::Arc;

use catalog::{IfMatch, Product, ProductId, ProductPatch, Sku, Version};
use freshness::Token;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::WriteError;
use crate::keys::Actor;
use crate::store::idempotency::{Claim, Kept};

/// One change of one product, with what it depends on.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    pub(crate) id: ProductId,
    pub(crate) action: Action,
    pub(crate) if_match: Option<IfMatch>,
    pub(crate) author: Author,
    /// If the request is to be done once, however often it comes.
    pub(crate) once: Option<Once>,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    Patch(ProductPatch),
    Delete,
    /// Of a product that there is not: always refused, which is kept as any refusal is.
    Unknown(Sku),
}

/// Who makes a change, and as part of what.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) actor: Arc<str>,
    pub(crate) bulk_id: Option<Uuid>,
}

/// An idempotency key, as `Idempotency-Key` brings it: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct IdempotencyKey(pub(crate) Arc<str>);

/// A request that is done once.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    pub(crate) key: IdempotencyKey,
    /// Of a bulk patch, counted from 1; 0 for any other request.
    pub(crate) line: i64,
    /// SHA-256 of all that decides what the request does.
    pub(crate) request: [u8; 32],
    /// Named in a refusal that is kept.
    pub(crate) request_id: String,
}

/// What was done.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    Created(Product),
    /// The product after the patch; of the same version as before if the patch changes nothing.
    Patched(Product),
    Deleted(ProductId, Version),
    /// Nothing this time: the first answer to the same request.
    Repeated(Kept),
}

/// What a line of a bulk is answered of its product, and what is kept of it under its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProductLine {
    pub(crate) id: ProductId,
    pub(crate) sku: Sku,
    pub(crate) version: Version,
}

pub(crate) type Outcome = Result<(Done, Token), WriteError>;

/// Stands for a product that there is not, where one must be named: no identity ever gets there.
pub(super) fn no_product() -> ProductId {
    ProductId::try_from(i64::MAX).expect("it is positive")
}

impl From<&Actor> for Author {
    fn from(actor: &Actor) -> Self {
        Self { actor: actor.to_string().into(), bulk_id: None }
    }
}

impl Command {
    /// What it takes so that nobody else does the same.
    pub(crate) fn claim(&self) -> Option<Claim> {
        self.once.as_ref().map(|once| once.claim(&self.author))
    }
}

impl Once {
    pub(crate) fn claim(&self, author: &Author) -> Claim {
        Claim { actor: author.actor.to_string(), key: self.key.0.to_string(), line: self.line }
    }

    /// What was answered `first` to this request.
    pub(crate) fn repeated(&self, first: &Kept) -> Result<Kept, WriteError> {
        if self.request[..] == first.request[..] { Ok(first.clone()) } else { Err(WriteError::KeyReused) }
    }
}

impl From<&Product> for ProductLine {
    fn from(product: &Product) -> Self {
        Self { id: product.id, sku: product.sku.clone(), version: product.version }
    }
}

impl Done {
    /// The version that an answer's `ETag` names.
    pub(crate) fn etag(&self) -> Option<Version> {
        match self {
            Self::Created(product) | Self::Patched(product) => Some(product.version),
            Self::Deleted(..) => None,
            Self::Repeated(kept) => kept.etag(),
        }
    }

    /// The product and its version that a token of this is about.
    pub(crate) fn product(&self) -> Option<(ProductId, Version)> {
        match self {
            Self::Created(product) | Self::Patched(product) => Some((product.id, product.version)),
            Self::Deleted(id, version) => Some((*id, *version)),
            Self::Repeated(kept) => kept.product(),
        }
    }
}
