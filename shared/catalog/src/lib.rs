//! The words of the catalogue: what a product, a price, a sku and a patch are, and how each is read from JSON.
//!
//! Everything here is a value: parsed once at the edge, valid from then on, without I/O.

mod fields;
mod if_match;
mod list;
mod number;
mod patch;
mod patch_line;
mod price;
mod product;
mod row;
mod schema;
mod text;

pub use fields::{FieldFault, Fields, Refusal};
pub use if_match::IfMatch;
pub use list::{CategoryFilter, ListFields};
pub use number::{ProductId, Stock, StockDelta, Version};
pub use patch::{NewProduct, PatchFault, ProductPatch};
pub use patch_line::{PatchLine, ProductName};
pub use price::{Currency, Price};
pub use product::Product;
pub use row::{CorruptRow, ProductRow};
pub use text::{Brand, Category, Description, ImageUrl, Name, Reason, Sku};
