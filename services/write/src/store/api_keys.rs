//! The table `api_keys`: what is kept of each key.

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::keys::{KeyHash, KeyId, Scopes};

/// A key that is not revoked.
pub(crate) struct StoredKey {
    pub(crate) name: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) scopes: Vec<String>,
    pub(crate) expires_at: Option<OffsetDateTime>,
}

/// What may be told of a key.
pub(crate) struct KeyRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) expires_at: Option<OffsetDateTime>,
    pub(crate) revoked_at: Option<OffsetDateTime>,
    pub(crate) last_used_at: Option<OffsetDateTime>,
}

/// The key, unless it is revoked.
pub(crate) async fn find(connection: &mut PgConnection, id: KeyId) -> sqlx::Result<Option<StoredKey>> {
    sqlx::query_as!(
        StoredKey,
        "select name, hash, scopes, expires_at
         from api_keys
         where id = $1
           and revoked_at is null",
        id.as_str(),
    )
    .fetch_optional(connection)
    .await
}

/// Stores a new key, and says when that was.
pub(crate) async fn insert(
    connection: &mut PgConnection,
    (id, hash): (KeyId, KeyHash),
    name: &str,
    scopes: Scopes,
    expires_at: Option<OffsetDateTime>,
) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(
        "insert into api_keys (id, name, hash, scopes, created_at, expires_at)
         values ($1, $2, $3, $4, clock_timestamp(), $5)
         returning created_at",
        id.as_str(),
        name,
        hash.as_bytes(),
        &scopes.words(),
        expires_at,
    )
    .fetch_one(connection)
    .await
}

/// The newest keys, or those before `after`.
pub(crate) async fn list(connection: &mut PgConnection, after: Option<KeyId>, limit: i64) -> sqlx::Result<Vec<KeyRow>> {
    sqlx::query_as!(
        KeyRow,
        "select id, name, scopes, created_at, expires_at, revoked_at, last_used_at
         from api_keys
         where $1::text is null
            or (created_at, id) < (select created_at, id from api_keys where id = $1)
         order by created_at desc, id desc
         limit $2",
        after.as_ref().map(KeyId::as_str),
        limit,
    )
    .fetch_all(connection)
    .await
}

/// Whether there is such a key, which is revoked from now on. It keeps the time of its first revocation.
pub(crate) async fn revoke(connection: &mut PgConnection, id: KeyId) -> sqlx::Result<bool> {
    let revoked = sqlx::query!(
        "update api_keys
         set revoked_at = coalesce(revoked_at, clock_timestamp())
         where id = $1",
        id.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(revoked.rows_affected() > 0)
}

/// Notes when keys were used, each once a minute at most, whichever instance comes first; returns how many it noted.
pub(crate) async fn note_uses(
    connection: &mut PgConnection,
    ids: &[String],
    times: &[OffsetDateTime],
) -> sqlx::Result<u64> {
    let noted = sqlx::query!(
        "update api_keys
         set last_used_at = used.at
         from (
             select id, used.at
             from unnest($1::text[], $2::timestamptz[]) as used (id, at)
             join api_keys using (id)
             where last_used_at is null
                or last_used_at <= used.at - interval '1 minute'
             for update of api_keys skip locked
         ) as used
         where api_keys.id = used.id",
        ids,
        times,
    )
    .execute(connection)
    .await?;
    Ok(noted.rows_affected())
}
