//! Lists and search results: what is asked for, one page of it, and where the next one begins.

mod cursor;
mod extent;
mod filters;
mod glance;
mod kept;
mod page;
mod parameters;
mod query;
mod read;
mod terms;

pub(crate) use cursor::{LastSeen, SortKey};
#[cfg(test)]
pub(crate) use extent::Effect;
pub(crate) use extent::SPARE;
pub(crate) use filters::Filters;
pub(crate) use glance::Glance;
#[cfg(test)]
pub(crate) use glance::Sieve;
pub(crate) use page::{Found, Listing, Page, ProductPage};
pub(crate) use parameters::{Parameters, QueryFault};
pub(crate) use query::{Begin, LIMIT_DEFAULT, LIMIT_MAX, PAGED_ROWS_MAX, PageQuery, Sort, WORDS_LENGTH_MAX, Words};
pub(crate) use read::Pages;
pub(crate) use terms::{Stage, TERMS_MAX, Term, Terms, Usage};
