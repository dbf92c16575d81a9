//! The table `products`.

use std::collections::HashMap;

use catalog::{Product, ProductId, ProductRow};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::changes::TextsRow;

/// The lexemes that products are found by, as [`events::Words`] holds them.
pub(crate) type WordsById = HashMap<ProductId, String>;

/// Products as a transaction found them.
#[derive(Debug)]
pub(crate) struct Found {
    /// In the order of their ids, in which they were locked if they were.
    pub(crate) products: Vec<Product>,
    pub(crate) words: WordsById,
    /// The database's clock when all of them were; there is none if there are no products.
    pub(crate) at: Option<OffsetDateTime>,
}

#[derive(sqlx::FromRow)]
struct FoundRow {
    #[sqlx(flatten)]
    product: ProductRow,
    words: String,
    found_at: OffsetDateTime,
}

/// Selects the products that meet a condition and are not deleted.
macro_rules! select {
    ($condition:literal, $lock:literal) => {
        concat!(
            "with found as materialized (
                select id, sku, name, description, brand, category, image_url, price, currency, stock, version,
                    created_at, updated_at, array_to_string(tsvector_to_array(search), ' ') as words
                from products
                where ",
            $condition,
            " and deleted_at is null
                order by id ",
            $lock,
            ")
            select *, clock_timestamp() as found_at from found"
        )
    };
}

/// Those of the products with these ids that are not deleted, as they are at this moment.
pub(crate) async fn find(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Found> {
    found(sqlx::query_as(select!("id = any($1)", "")).bind(ids).fetch_all(connection).await?)
}

/// The same, locked until the transaction ends.
pub(crate) async fn lock(connection: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Found> {
    found(sqlx::query_as(select!("id = any($1)", "for update")).bind(ids).fetch_all(connection).await?)
}

/// Locks those of the products with these skus that exist.
pub(crate) async fn lock_by_sku(connection: &mut PgConnection, skus: &[&str]) -> sqlx::Result<Found> {
    found(sqlx::query_as(select!("sku = any($1)", "for update")).bind(skus).fetch_all(connection).await?)
}

fn found(rows: Vec<FoundRow>) -> sqlx::Result<Found> {
    let at = rows.iter().map(|row| row.found_at).max();
    let mut products = Vec::with_capacity(rows.len());
    let mut words = WordsById::with_capacity(rows.len());
    for row in rows {
        let product = product(row.product)?;
        words.insert(product.id, row.words);
        products.push(product);
    }
    Ok(Found { products, words, at })
}

/// The ids of those of the products with these skus that are not deleted.
pub(crate) async fn ids_by_sku(
    connection: &mut PgConnection,
    skus: &[&str],
) -> sqlx::Result<HashMap<String, ProductId>> {
    let rows = sqlx::query!(
        "select id, sku
         from products
         where sku = any($1)
           and deleted_at is null",
        skus as _,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((row.sku, product_id(row.id)?))).collect()
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
    ids.into_iter().map(product_id).collect()
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

/// What products with these texts and skus are found by; none of them need be stored.
pub(crate) async fn words_of_texts(
    connection: &mut PgConnection,
    texts: &[TextsRow],
    skus: &[&str],
) -> sqlx::Result<WordsById> {
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "select id, array_to_string(tsvector_to_array(product_search(name, sku, brand, category, description)), ' ')
         from rows from (unnest($1), unnest($2)) as product (id, name, description, brand, category, sku)",
    )
    .bind(texts)
    .bind(skus)
    .fetch_all(connection)
    .await?;
    words_of(rows.into_iter(), texts.len())
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

fn product_id(id: i64) -> sqlx::Result<ProductId> {
    ProductId::try_from(id).map_err(|fault| sqlx::Error::Decode(fault.into()))
}

fn product(row: ProductRow) -> sqlx::Result<Product> {
    row.try_into().map_err(|corrupt| sqlx::Error::Decode(Box::new(corrupt)))
}

/// The words of the rows that were written, all of them.
fn words_of(rows: impl ExactSizeIterator<Item = (i64, String)>, wanted: usize) -> sqlx::Result<WordsById> {
    all_or_nothing(rows.len() as u64, wanted)?;
    rows.map(|(id, words)| Ok((product_id(id)?, words))).collect()
}

/// The rows are locked, so a missing one means that this code is wrong: nothing of it may be committed.
fn all_or_nothing(affected: u64, wanted: usize) -> sqlx::Result<()> {
    if usize::try_from(affected) == Ok(wanted) { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}
