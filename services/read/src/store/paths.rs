//! The categories that a filter takes in, by name.

use catalog::CategoryFilter;
use sqlx::PgConnection;

/// So many are looked up one by one; a category with more below it is one stretch of the index, of which every product is
/// looked at.
const PATHS_MAX: i64 = 100;

/// The category itself and all below it that have products; `None` if they are more than [`PATHS_MAX`].
///
/// By their names the other columns of an index decide where it is read, not only what is thrown away. Found by steps from
/// one to the next, as many as there are paths and not products.
pub(super) async fn paths(
    connection: &mut PgConnection,
    category: &CategoryFilter,
) -> Result<Option<Vec<String>>, sqlx::Error> {
    let (from, to) = category.below();
    let paths = sqlx::query_scalar!(
        r#"
        with recursive step as (
            select $1::text collate "C" as category
            union all
            select (
                select category
                from listing
                where category > greatest(step.category, $2::text collate "C")
                    and category < $3
                order by category
                limit 1
            )
            from step
            where step.category is not null
        )
        select array(select category from step where category is not null limit $4::bigint + 1) as "paths!"
        "#,
        category.0.as_str(),
        from,
        to,
        PATHS_MAX,
    )
    .fetch_one(connection)
    .await?;
    Ok((paths.len() as u64 <= PATHS_MAX.unsigned_abs()).then_some(paths))
}
