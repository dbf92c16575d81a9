//! Redis as a shared cache: keys, the form of a value, and the one script through which every value is written.
//!
//! Architecture invariant: Redis is never trusted, only checked. A value carries where it came from, and whoever reads
//! it decides by that; time to live only bounds memory.

mod entry;
mod settings;
mod store;

pub use entry::{Content, CorruptEntry, Entry};
pub use settings::CacheSettings;
pub use store::{Cache, CacheError, PageKey};
