//! `GET /keys`: what may be told of every API key.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use bootstrap::{ApiQuery, Problem};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::allowed::{Allowed, KeysAdmin};
use super::openapi::{KeyProblems, ServerProblems};
use crate::app::App;
use crate::error::WriteError;
use crate::keys::{KeyId, Scope, Scopes};
use crate::store::api_keys::{self, KeyRow};

/// Keys on a page if nothing else is asked for.
const LIMIT_DEFAULT: u16 = 100;
/// Some 300 bytes each.
const LIMIT_MAX: u16 = 1_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct KeyQuery {
    /// Keys on the page; 100 if absent
    #[serde(default = "limit_default", deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, required = false)]
    limit: u16,
    /// The `next_cursor` of the page before
    #[serde(default, deserialize_with = "cursor")]
    #[param(value_type = String, required = false)]
    cursor: Option<KeyId>,
}

/// Keys, the newest first
#[derive(Serialize, ToSchema)]
pub(super) struct KeyPage {
    items: Vec<ListedKey>,
    /// Where the next page begins; null on the last one
    #[schema(required = true)]
    next_cursor: Option<String>,
}

/// What may be told of a key
#[derive(Serialize, ToSchema)]
pub(super) struct ListedKey {
    #[schema(value_type = KeyId)]
    id: String,
    name: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Scopes,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required = true)]
    expires_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required = true)]
    revoked_at: Option<OffsetDateTime>,
    /// To the minute
    #[serde(with = "time::serde::rfc3339::option")]
    #[schema(required = true)]
    last_used_at: Option<OffsetDateTime>,
}

/// Lists the API keys
///
/// Also the expired and revoked ones; never the keys themselves.
#[utoipa::path(
    get,
    path = "/keys",
    tag = "keys",
    security(("key" = [])),
    params(KeyQuery),
    responses(
        (status = 200, description = "The keys, the newest first", body = KeyPage),
        (status = 400, description = "A parameter is not valid", body = Problem,
            content_type = "application/problem+json"),
        KeyProblems,
        ServerProblems,
    ),
)]
pub(super) async fn list_keys(
    State(app): State<App>,
    _: Allowed<KeysAdmin>,
    ApiQuery(query): ApiQuery<KeyQuery>,
) -> Result<impl IntoResponse, WriteError> {
    let limit = usize::from(query.limit);
    // One more says whether there is a next page.
    let rows =
        api_keys::list(&mut *app.primary.pool.acquire().await?, query.cursor, i64::from(query.limit) + 1).await?;
    let has_more = rows.len() > limit;
    let items: Vec<ListedKey> = rows.into_iter().take(limit).map(ListedKey::from).collect();
    let next_cursor = items.last().filter(|_| has_more).map(|last| last.id.clone());
    Ok(([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(KeyPage { items, next_cursor })))
}

impl From<KeyRow> for ListedKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: Scopes::of_words(&row.scopes),
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

const fn limit_default() -> u16 {
    LIMIT_DEFAULT
}

fn limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let limit = String::deserialize(deserializer)?;
    let limit = limit.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| serde::de::Error::custom(format!("limit: must be a number from 1 to {LIMIT_MAX}")))
}

fn cursor<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<KeyId>, D::Error> {
    let cursor = String::deserialize(deserializer)?;
    cursor.parse().map(Some).map_err(|_| serde::de::Error::custom("cursor: must be the `next_cursor` of a page"))
}
