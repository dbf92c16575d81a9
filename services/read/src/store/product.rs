//! Products by id and by sku, with the epoch of the same snapshot.

use std::collections::HashSet;

use catalog::{CorruptRow, Product, ProductId, ProductRow, Sku, Version};
use events::Epoch;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::read_epoch;

/// What the table holds under one id.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) id: ProductId,
    /// 0 if there never was such a product.
    pub(crate) version: Version,
    /// `None` also for a tombstone.
    pub(crate) product: Option<Product>,
}

/// The epoch and, unless nothing was found, a product.
struct Joined {
    epoch: i64,
    id: Option<i64>,
    sku: Option<String>,
    name: Option<String>,
    description: Option<String>,
    brand: Option<String>,
    category: Option<String>,
    image_url: Option<String>,
    price: Option<i64>,
    currency: Option<String>,
    stock: Option<i32>,
    version: Option<i64>,
    created_at: Option<OffsetDateTime>,
    updated_at: Option<OffsetDateTime>,
    deleted_at: Option<OffsetDateTime>,
}

/// The epoch beside the products that meet a condition; one row with the epoch alone if there are none.
macro_rules! select_products {
    ($condition:literal, $argument:expr) => {
        sqlx::query_as!(
            Joined,
            r#"
            select
                e.number as "epoch!",
                p.id as "id?",
                p.sku as "sku?",
                p.name as "name?",
                p.description as "description?",
                p.brand as "brand?",
                p.category as "category?",
                p.image_url as "image_url?",
                p.price as "price?",
                p.currency as "currency?",
                p.stock as "stock?",
                p.version as "version?",
                p.created_at as "created_at?",
                p.updated_at as "updated_at?",
                p.deleted_at as "deleted_at?"
            from epoch e
            left join products p on "#
                + $condition,
            $argument
        )
    };
}

/// What is held under each of `ids`, in no order.
pub(crate) async fn products_by_id(
    connection: &mut PgConnection,
    ids: &[ProductId],
) -> Result<(Epoch, Vec<Stored>), sqlx::Error> {
    let numbers: Vec<i64> = ids.iter().map(|id| id.get()).collect();
    let (epoch, mut stored) = read(select_products!("p.id = any($1)", &numbers).fetch_all(connection).await?)?;
    let found: HashSet<ProductId> = stored.iter().map(|stored| stored.id).collect();
    let absent = ids.iter().filter(|id| !found.contains(id));
    stored.extend(absent.map(|id| Stored { id: *id, version: Version::ABSENT, product: None }));
    Ok((epoch, stored))
}

/// The live products that have one of `skus`, in no order.
pub(crate) async fn products_by_sku(
    connection: &mut PgConnection,
    skus: &[Sku],
) -> Result<(Epoch, Vec<Stored>), sqlx::Error> {
    let texts: Vec<String> = skus.iter().map(ToString::to_string).collect();
    read(select_products!("p.sku = any($1) and p.deleted_at is null", &texts).fetch_all(connection).await?)
}

fn read(rows: Vec<Joined>) -> Result<(Epoch, Vec<Stored>), sqlx::Error> {
    // The table `epoch` has its one row from the first migration on.
    let epoch = read_epoch(rows.first().ok_or(sqlx::Error::RowNotFound)?.epoch)?;
    let stored = rows.into_iter().filter_map(Joined::into_stored).collect::<Result<_, _>>();
    Ok((epoch, stored.map_err(|fault: CorruptRow| sqlx::Error::Decode(Box::new(fault)))?))
}

impl Joined {
    fn into_stored(self) -> Option<Result<Stored, CorruptRow>> {
        let is_deleted = self.deleted_at.is_some();
        let row = ProductRow {
            id: self.id?,
            sku: self.sku?,
            name: self.name?,
            description: self.description,
            brand: self.brand,
            category: self.category,
            image_url: self.image_url,
            price: self.price?,
            currency: self.currency?,
            stock: self.stock?,
            version: self.version?,
            created_at: self.created_at?,
            updated_at: self.updated_at?,
        };
        Some(Product::try_from(row).map(|product| Stored {
            id: product.id,
            version: product.version,
            product: (!is_deleted).then_some(product),
        }))
    }
}
