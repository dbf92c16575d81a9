//! API keys: who may change what.
//!
//! A request's key is looked up by its id and told by its hash. What was found is kept for seconds, so that the check is a
//! hash, a look into memory and a comparison; a revocation is told to all instances at once.

mod check;
mod issue;
mod key;
mod known;
mod revoke;
mod scope;
mod uses;

pub use check::{Actor, Keys};
pub(crate) use check::{KeyRefusal, Permit};
pub(crate) use issue::moment;
pub use issue::{IssuedKey, NewKey, issue};
pub use key::KeyId;
pub(crate) use key::{KeyHash, PresentedKey};
pub use scope::{Scope, Scopes};
