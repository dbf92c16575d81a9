//! Which products stand in a list or are found by a search, as a part of every statement that asks for them.

use sqlx::{Postgres, QueryBuilder};

use crate::pages::Filters;

/// Where products are looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Among<'a> {
    /// All, in the narrow copy; those of a category by its paths, if they are known to be few.
    Listing { paths: Option<&'a [String]> },
    /// Those that this text query finds.
    Found(&'a str),
}

/// Whole products, which hold their lexemes.
const DOCUMENTS: &str = "(select *, stock > 0 as in_stock from products where deleted_at is null) as products";

/// The products that pass the filters.
pub(super) fn push_matches(sql: &mut QueryBuilder<Postgres>, filters: &Filters, among: Among<'_>) {
    match among {
        Among::Listing { paths } => {
            sql.push(" from listing where true");
            push_filters(sql, filters, paths);
        }
        Among::Found(words) => {
            sql.push(" from ").push(DOCUMENTS).push(" where search @@ ");
            sql.push_bind(words.to_owned()).push("::tsquery");
            push_filters(sql, filters, None);
        }
    }
}

/// What the products of a `listing` or of `products` must be, each condition behind an `and`.
pub(super) fn push_filters(sql: &mut QueryBuilder<Postgres>, filters: &Filters, paths: Option<&[String]>) {
    if let Some(brand) = &filters.brand {
        sql.push(" and brand = ").push_bind(brand.as_str().to_owned());
    }
    if let Some(paths) = paths {
        sql.push(" and category = any (").push_bind(paths.to_vec()).push(")");
    } else if let Some(category) = &filters.category {
        let (from, to) = category.below();
        let path = category.0.as_str();
        // One stretch of the index, and of it what does not only begin with the same letters.
        sql.push(" and category >= ").push_bind(path.to_owned()).push(" and category < ").push_bind(to);
        sql.push(" and (category = ").push_bind(path.to_owned()).push(" or category >= ").push_bind(from).push(")");
    }
    if let Some(in_stock) = filters.in_stock {
        sql.push(if in_stock { " and in_stock" } else { " and not in_stock" });
    }
    if let Some(currency) = filters.currency {
        sql.push(" and currency = ").push_bind(currency.to_string());
    }
    if let Some(min) = filters.min_price {
        sql.push(" and price >= ").push_bind(min.minor());
    }
    if let Some(max) = filters.max_price {
        sql.push(" and price <= ").push_bind(max.minor());
    }
}
