//! Live products in batches by id, with the epoch of the same snapshot.

use catalog::{Product, ProductRow};
use events::Epoch;
use sqlx::PgConnection;

use super::{one_snapshot, read_epoch};

/// The first `limit` live products above the id `after`, in order.
pub(crate) async fn live_products(
    connection: &mut PgConnection,
    after: i64,
    limit: i64,
) -> Result<(Epoch, Vec<Product>), sqlx::Error> {
    let mut snapshot = one_snapshot(connection).await?;
    let epoch = sqlx::query_scalar!("select number from epoch").fetch_one(&mut *snapshot).await?;
    let rows = sqlx::query_as!(
        ProductRow,
        "
        select id, sku, name, description, brand, category, image_url, price, currency, stock, version, created_at,
            updated_at
        from products
        where id > $1 and deleted_at is null
        order by id
        limit $2
        ",
        after,
        limit
    )
    .fetch_all(&mut *snapshot)
    .await?;
    snapshot.commit().await?;
    let products = rows.into_iter().map(Product::try_from).collect::<Result<_, _>>();
    Ok((read_epoch(epoch)?, products.map_err(|fault| sqlx::Error::Decode(Box::new(fault)))?))
}

/// The highest id given so far; 0 if none was.
pub(crate) async fn last_id(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"select coalesce(max(id), 0) as "id!" from products"#).fetch_one(connection).await
}
