//! What a client wants done to one product, and what came of it.

use std::sync::Arc;

use catalog::{Product, ProductId, ProductPatch, Version};
use freshness::Token;
use uuid::Uuid;

use crate::error::WriteError;
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
}

/// Who makes a change, and as part of what.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    pub(crate) actor: Arc<str>,
    pub(crate) bulk_id: Option<Uuid>,
}

/// The versions that a change may be made of (RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    Any,
    Versions(Vec<Version>),
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
    /// The product after the patch; of the same version as before if the patch changes nothing.
    Patched(Product),
    Deleted(ProductId, Version),
    /// Nothing this time: the first answer to the same request.
    Repeated(Kept),
}

pub(crate) type Outcome = Result<(Done, Token), WriteError>;

impl IfMatch {
    pub(crate) fn is_met_by(&self, version: Version) -> bool {
        match self {
            Self::Any => true,
            Self::Versions(versions) => versions.contains(&version),
        }
    }
}

impl Command {
    /// What it takes so that nobody else does the same.
    pub(crate) fn claim(&self) -> Option<Claim> {
        let once = self.once.as_ref()?;
        Some(Claim { actor: self.author.actor.to_string(), key: once.key.0.to_string(), line: once.line })
    }
}

impl Done {
    /// The version that an answer's `ETag` names.
    pub(crate) fn etag(&self) -> Option<Version> {
        match self {
            Self::Patched(product) => Some(product.version),
            Self::Deleted(..) => None,
            Self::Repeated(kept) => kept.etag(),
        }
    }

    /// The product and its version that a token of this is about.
    pub(crate) fn product(&self) -> Option<(ProductId, Version)> {
        match self {
            Self::Patched(product) => Some((product.id, product.version)),
            Self::Deleted(id, version) => Some((*id, *version)),
            Self::Repeated(kept) => kept.product(),
        }
    }
}
