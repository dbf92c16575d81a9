//! What the primary says of one product, for the auditor: the row with its epoch, and where the server stands after it.

use catalog::{Product, ProductId, ProductRow, Version};
use events::Epoch;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{one_snapshot, read_epoch};

/// One product and the epoch, in one snapshot.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) epoch: Epoch,
    /// Whether the epoch was made on this very start of the server. If not, the relay is about to make another.
    pub(crate) is_settled: bool,
    /// [`Version::ABSENT`] if there never was such a product.
    pub(crate) version: Version,
    /// `None` also for a tombstone.
    pub(crate) product: Option<Product>,
}

/// The server at a moment after a row was read.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The server's clock.
    pub(crate) t: OffsetDateTime,
    /// When the oldest transaction began that waits for a replica: its changes are durable, but not visible here yet.
    pub(crate) oldest_wait: Option<OffsetDateTime>,
    pub(crate) is_replica: bool,
}

/// The row of a product as it is now.
pub(crate) async fn row(connection: &mut PgConnection, id: ProductId) -> Result<Row, sqlx::Error> {
    let mut snapshot = one_snapshot(connection).await?;
    // As the relay judges it: a crash of one backend restarts the checkpointer, but not the postmaster.
    let epoch = sqlx::query!(
        r#"
        select number,
            coalesce(server_started_at = greatest(
                pg_postmaster_start_time(),
                (select backend_start from pg_stat_activity where backend_type = 'checkpointer')
            ), false) as "is_settled!"
        from epoch
        "#
    )
    .fetch_one(&mut *snapshot)
    .await?;
    let stored = sqlx::query!(
        r#"
        select id, sku, name, description, brand, category, image_url, price, currency, stock, version, created_at,
            updated_at, deleted_at is not null as "is_deleted!"
        from products
        where id = $1
        "#,
        id.get()
    )
    .fetch_optional(&mut *snapshot)
    .await?;
    snapshot.commit().await?;
    let (epoch, is_settled) = (read_epoch(epoch.number)?, epoch.is_settled);
    let Some(stored) = stored else {
        return Ok(Row { epoch, is_settled, version: Version::ABSENT, product: None });
    };
    let product = Product::try_from(ProductRow {
        id: stored.id,
        sku: stored.sku,
        name: stored.name,
        description: stored.description,
        brand: stored.brand,
        category: stored.category,
        image_url: stored.image_url,
        price: stored.price,
        currency: stored.currency,
        stock: stored.stock,
        version: stored.version,
        created_at: stored.created_at,
        updated_at: stored.updated_at,
    })
    .map_err(|fault| sqlx::Error::Decode(Box::new(fault)))?;
    Ok(Row { epoch, is_settled, version: product.version, product: (!stored.is_deleted).then_some(product) })
}

/// Where the server stands now; in a statement of its own, after the row was read.
pub(crate) async fn standing(connection: &mut PgConnection) -> Result<Standing, sqlx::Error> {
    sqlx::query_as!(
        Standing,
        r#"
        select clock_timestamp() as "t!",
            (select min(xact_start) from pg_stat_activity where wait_event = 'SyncRep') as "oldest_wait?",
            pg_is_in_recovery() as "is_replica!"
        "#
    )
    .fetch_one(connection)
    .await
}

/// The id of some product, a deleted one too; `None` if there is none.
pub(crate) async fn any_id(connection: &mut PgConnection) -> Result<Option<ProductId>, sqlx::Error> {
    let id = sqlx::query_scalar!(
        "
        select id
        from products
        where id >= (select 1 + floor(random() * max(id))::bigint from products)
        order by id
        limit 1
        "
    )
    .fetch_optional(connection)
    .await?;
    id.map(ProductId::try_from).transpose().map_err(|fault| sqlx::Error::Decode(Box::new(fault)))
}
