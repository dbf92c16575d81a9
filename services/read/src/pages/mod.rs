//! Lists and search results: what is asked for, one page of it, and where the next one begins.

mod cursor;
mod extent;
mod fields;
mod filters;
mod glance;
mod held;
mod kept;
mod page;
mod parameters;
mod query;
mod read;
mod tally;
mod terms;

pub(crate) use cursor::{LastSeen, SortKey};
#[cfg(test)]
pub(crate) use extent::Effect;
pub(crate) use extent::SPARE;
pub(crate) use fields::Fields;
pub(crate) use filters::Filters;
pub(crate) use glance::Glance;
#[cfg(test)]
pub(crate) use glance::Sieve;
pub(crate) use page::{Found, Listing, Page, ProductPage};
pub(crate) use parameters::{Parameters, QueryFault};
pub(crate) use query::{
    Begin, LIMIT_DEFAULT, LIMIT_MAX, PAGED_ROWS_MAX, PageQuery, Sort, WORDS_LENGTH_MAX, Words, whole,
};
pub(crate) use read::Pages;
pub(crate) use tally::{COUNTED_MAX, COUNTED_MAX_ESTIMATED, Count, Counts, Tally, Total, VALUES_KEPT, bands};
pub(crate) use terms::{Reach, Stage, TERMS_MAX, Term, Terms, Usage};
