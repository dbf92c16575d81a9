//! Lists and search results: what is asked for, one page of it, and where the next one begins.

mod cursor;
mod filters;
mod page;
mod parameters;
mod query;
mod read;
mod terms;

pub(crate) use cursor::{LastSeen, SortKey};
pub(crate) use filters::Filters;
pub(crate) use page::{Found, ProductPage};
pub(crate) use parameters::{Parameters, QueryFault};
pub(crate) use query::{Begin, LIMIT_DEFAULT, LIMIT_MAX, PAGED_ROWS_MAX, PageQuery, Sort, WORDS_LENGTH_MAX, Words};
pub(crate) use read::read_page;
pub(crate) use terms::{TERMS_MAX, Term, Terms, Usage};
