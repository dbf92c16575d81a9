//! The table `idempotency`: the first answers to requests that had a key.

use std::collections::HashMap;

use sqlx::PgConnection;

/// Who used which key, and for which line of a bulk patch; 0 for any other request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) actor: String,
    pub(crate) key: String,
    pub(crate) line: i64,
}

/// The first answer under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// SHA-256 of the request that it was the answer to.
    pub(crate) request: Vec<u8>,
    pub(crate) status: i16,
    pub(crate) body: String,
    pub(crate) product_id: Option<i64>,
    pub(crate) version: Option<i64>,
}

/// What is kept under these claims; asks nothing if there are none.
pub(crate) async fn find(connection: &mut PgConnection, claims: &[Claim]) -> sqlx::Result<HashMap<Claim, Kept>> {
    if claims.is_empty() {
        return Ok(HashMap::new());
    }
    let actors: Vec<&str> = claims.iter().map(|claim| claim.actor.as_str()).collect();
    let keys: Vec<&str> = claims.iter().map(|claim| claim.key.as_str()).collect();
    let lines: Vec<i64> = claims.iter().map(|claim| claim.line).collect();
    let rows = sqlx::query!(
        r#"select actor, key, line, request, status, body, product_id, version
           from idempotency
           join unnest($1::text[], $2::text[], $3::bigint[]) as claim (actor, key, line) using (actor, key, line)"#,
        &actors as _,
        &keys as _,
        &lines,
    )
    .fetch_all(connection)
    .await?;
    let kept = rows.into_iter().map(|row| {
        let claim = Claim { actor: row.actor, key: row.key, line: row.line };
        let kept = Kept {
            request: row.request,
            status: row.status,
            body: row.body,
            product_id: row.product_id,
            version: row.version,
        };
        (claim, kept)
    });
    Ok(kept.collect())
}
