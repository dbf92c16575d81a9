//! The table `products`.

use std::collections::HashMap;

use catalog::{Product, ProductId, ProductRow, Version};
use events::Change;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::outbox;

/// The lexemes that products are found by, as [`events::Words`] holds them.
pub(crate) type WordsById = HashMap<ProductId, String>;

/// Products that are locked until the transaction ends.
#[derive(Debug)]
pub(crate) struct Locked {
    /// In the order of their ids, in which they were locked.
    pub(crate) products: Vec<Product>,
    pub(crate) words: WordsById,
    /// The database's clock when all of them were; there is none if there are no products.
    pub(crate) at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct LockedRow {
    #[sqlx(flatten)]
    product: ProductRow,
    words: String,
    locked_at: OffsetDateTime,
}

/// Selects and locks the products that meet a condition and are not deleted.
macro_rules! lock {
    ($condition:literal, $how:literal) => {
        concat!(
            "with locked as materialized (
                select id, sku, name, description, brand, category, image_url, price, currency, stock, version,
                    created_at, updated_at, array_to_string(tsvector_to_array(search), ' ') as words
                from products
                where ",
            $condition,
            " and deleted_at is null
                order by id
                for update ",
            $how,
            ")
            select *, clock_timestamp() as locked_at from locked"
        )
    };
}

/// Locks those of the products with these ids that are not deleted.
pub(crate) async fn lock(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Locked> {
    locked(sqlx::query_as(lock!("id = any($1)", "")).bind(ids).fetch_all(connection).await?)
}

/// The same without waiting: products that another transaction has locked are left out.
pub(crate) async fn lock_free(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Locked> {
    locked(sqlx::query_as(lock!("id = any($1)", "skip locked")).bind(ids).fetch_all(connection).await?)
}

/// Locks those of the products with these skus that exist.
pub(crate) async fn lock_by_sku(connection: &mut PgConnection, skus: &[&str]) -> sqlx::Result<Locked> {
    locked(sqlx::query_as(lock!("sku = any($1)", "")).bind(skus).fetch_all(connection).await?)
}

fn locked(rows: Vec<LockedRow>) -> sqlx::Result<Locked> {
    let at = rows.iter().map(|row| row.locked_at).max();
    let mut products = Vec::with_capacity(rows.len());
    let mut words = WordsById::with_capacity(rows.len());
    for row in rows {
        let product = product(row.product)?;
        words.insert(product.id, row.words);
        products.push(product);
    }
    Ok(Locked { products, words, at })
}

/// Those of the ids whose products are there, locked or not.
pub(crate) async fn existing(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar!("select id from products where id = any($1) and deleted_at is null", ids)
        .fetch_all(connection)
        .await
}

/// Takes ids that no product ever had, in rising order.
pub(crate) async fn reserve_ids(connection: &mut PgConnection, count: usize) -> sqlx::Result<Vec<ProductId>> {
    let count = i64::try_from(count).expect("a batch is small");
    let ids = sqlx::query_scalar!(
        r#"select nextval(pg_get_serial_sequence('products', 'id')) as "id!"
           from generate_series(1, $1::bigint)"#,
        count,
    )
    .fetch_all(connection)
    .await?;
    ids.into_iter().map(|id| ProductId::try_from(id).map_err(|fault| sqlx::Error::Decode(fault.into()))).collect()
}

/// Inserts new products in the order of their skus, so that two writers of the same skus cannot deadlock. Returns their
/// words.
pub(crate) async fn insert(connection: &mut PgConnection, products: &[&Product]) -> sqlx::Result<WordsById> {
    let columns = Columns::of(products);
    let times: Vec<OffsetDateTime> = products.iter().map(|product| product.created_at).collect();
    let inserted = sqlx::query!(
        r#"insert into products (id, sku, name, description, brand, category, image_url, price, currency, stock, version,
                created_at, updated_at)
         overriding system value
         select id, sku, name, description, brand, category, image_url, price, currency, stock, version,
                created_at, created_at
         from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                $8::bigint[], $9::text[], $10::integer[], $11::bigint[], $12::timestamptz[])
              as product (id, sku, name, description, brand, category, image_url,
                price, currency, stock, version, created_at)
         order by sku
         returning id, array_to_string(tsvector_to_array(search), ' ') as "words!""#,
        &columns.ids,
        &columns.skus as _,
        &columns.names as _,
        &columns.descriptions as _,
        &columns.brands as _,
        &columns.categories as _,
        &columns.image_urls as _,
        &columns.prices,
        &columns.currencies as _,
        &columns.stocks,
        &columns.versions,
        &times,
    )
    .fetch_all(connection)
    .await?;
    words_of(inserted.into_iter().map(|row| (row.id, row.words)), products.len())
}

/// What a locked product becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Update<'a> {
    pub(crate) after: &'a Product,
    /// How many versions later that is.
    pub(crate) versions: u32,
    /// Whether what is searched as words may differ.
    pub(crate) changes_words: bool,
}

/// Brings locked products to the content given. Returns their words.
pub(crate) async fn update(connection: &mut PgConnection, updates: &[Update<'_>]) -> sqlx::Result<WordsById> {
    let (columns, times, steps) = columns_of(updates);
    let done = sqlx::query!(
        r#"update products
         set name = after.name, description = after.description, brand = after.brand, category = after.category,
             image_url = after.image_url, price = after.price, currency = after.currency, stock = after.stock,
             version = after.version, updated_at = after.updated_at
         from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                $7::bigint[], $8::text[], $9::integer[], $10::bigint[], $11::timestamptz[], $12::bigint[])
              as after (id, name, description, brand, category, image_url,
                price, currency, stock, version, updated_at, steps)
         where products.id = after.id
           and products.version = after.version - after.steps
           and products.deleted_at is null
         returning products.id, array_to_string(tsvector_to_array(products.search), ' ') as "words!""#,
        &columns.ids,
        &columns.names as _,
        &columns.descriptions as _,
        &columns.brands as _,
        &columns.categories as _,
        &columns.image_urls as _,
        &columns.prices,
        &columns.currencies as _,
        &columns.stocks,
        &columns.versions,
        &times,
        &steps,
    )
    .fetch_all(connection)
    .await?;
    words_of(done.into_iter().map(|row| (row.id, row.words)), updates.len())
}

/// The same for those whose words stay, if there are any, and the events of all changes: as long as no statement names the
/// words, nothing is parsed and no index is touched.
pub(crate) async fn update_offers_and_insert_events(
    connection: &mut PgConnection,
    updates: &[Update<'_>],
    changes: &[&Change],
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let (columns, times, steps) = columns_of(updates);
    let events = outbox::Columns::of(changes);
    let done = sqlx::query!(
        "with events as (
             insert into outbox (event_id, product_id, kind, data, created_at)
             select event_id, product_id, kind, data, $13
             from unnest($9::uuid[], $10::bigint[], $11::text[], $12::text[])
                  with ordinality as event (event_id, product_id, kind, data, place)
             order by place
         )
         update products
         set image_url = after.image_url, price = after.price, currency = after.currency, stock = after.stock,
             version = after.version, updated_at = after.updated_at
         from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[],
                $7::timestamptz[], $8::bigint[])
              as after (id, image_url, price, currency, stock, version, updated_at, steps)
         where products.id = after.id
           and products.version = after.version - after.steps
           and products.deleted_at is null",
        &columns.ids,
        &columns.image_urls as _,
        &columns.prices,
        &columns.currencies as _,
        &columns.stocks,
        &columns.versions,
        &times,
        &steps,
        &events.event_ids,
        &events.product_ids,
        &events.kinds as _,
        &events.data,
        now,
    )
    .execute(connection)
    .await?;
    all_or_nothing(done.rows_affected(), updates.len())
}

fn columns_of<'a>(updates: &[Update<'a>]) -> (Columns<'a>, Vec<OffsetDateTime>, Vec<i64>) {
    let products: Vec<&Product> = updates.iter().map(|update| update.after).collect();
    let times = products.iter().map(|product| product.updated_at).collect();
    let steps = updates.iter().map(|update| i64::from(update.versions)).collect();
    (Columns::of(&products), times, steps)
}

/// Turns a locked product into a tombstone at `version`.
pub(crate) async fn bury(
    connection: &mut PgConnection,
    id: ProductId,
    version: Version,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    let buried = sqlx::query!(
        "update products
         set version = $2::bigint, updated_at = $3, deleted_at = $3
         where id = $1
           and version = $2::bigint - 1
           and deleted_at is null",
        id.get(),
        version.get(),
        now,
    )
    .execute(connection)
    .await?;
    all_or_nothing(buried.rows_affected(), 1)
}

/// The columns of several products, as arrays for `unnest`.
struct Columns<'a> {
    ids: Vec<i64>,
    skus: Vec<&'a str>,
    names: Vec<&'a str>,
    descriptions: Vec<Option<&'a str>>,
    brands: Vec<Option<&'a str>>,
    categories: Vec<Option<&'a str>>,
    image_urls: Vec<Option<&'a str>>,
    prices: Vec<i64>,
    currencies: Vec<&'a str>,
    stocks: Vec<i32>,
    versions: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(products: &[&'a Product]) -> Self {
        fn column<'a, T>(products: &[&'a Product], value: impl Fn(&'a Product) -> T) -> Vec<T> {
            products.iter().map(|product| value(product)).collect()
        }
        Self {
            ids: column(products, |product| product.id.get()),
            skus: column(products, |product| product.sku.as_str()),
            names: column(products, |product| product.name.as_str()),
            descriptions: column(products, |product| product.description.as_ref().map(catalog::Description::as_str)),
            brands: column(products, |product| product.brand.as_ref().map(catalog::Brand::as_str)),
            categories: column(products, |product| product.category.as_ref().map(catalog::Category::as_str)),
            image_urls: column(products, |product| product.image_url.as_ref().map(catalog::ImageUrl::as_str)),
            prices: column(products, |product| product.price.minor()),
            currencies: column(products, |product| product.currency.code()),
            stocks: column(products, |product| product.stock.get()),
            versions: column(products, |product| product.version.get()),
        }
    }
}

fn product(row: ProductRow) -> sqlx::Result<Product> {
    row.try_into().map_err(|corrupt| sqlx::Error::Decode(Box::new(corrupt)))
}

/// The words of the rows that were written, all of them.
fn words_of(rows: impl ExactSizeIterator<Item = (i64, String)>, wanted: usize) -> sqlx::Result<WordsById> {
    all_or_nothing(rows.len() as u64, wanted)?;
    let id = |id: i64| ProductId::try_from(id).map_err(|fault| sqlx::Error::Decode(fault.into()));
    rows.map(|(row_id, words)| Ok((id(row_id)?, words))).collect()
}

/// The rows are locked, so a missing one means that this code is wrong: nothing of it may be committed.
fn all_or_nothing(affected: u64, wanted: usize) -> sqlx::Result<()> {
    if usize::try_from(affected) == Ok(wanted) { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}
