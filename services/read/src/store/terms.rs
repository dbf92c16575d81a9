//! The words of a search: parsed, and corrected by what is in the catalogue.

use sqlx::PgConnection;

use super::snapshot::Snapshot;
use crate::pages::{TERMS_MAX, Term, Terms, Usage, Words};

/// A word in so many products tells little of what is looked for. No more of them are counted.
const COMMON_MIN: i64 = 1_000;

/// The words as Postgres parses those of products, the same one once.
pub(super) async fn terms(connection: &mut PgConnection, words: &Words) -> Result<Terms, sqlx::Error> {
    // A word of which the English configuration leaves nothing is one like "the". One letter begins too many words to be
    // a useful search.
    let rows = sqlx::query!(
        r#"
        select
            tsvector_to_array(to_tsvector('simple', word)) as "exact!",
            tsvector_to_array(to_tsvector('english', word)) as "stem!",
            place = max(place) over () and length(word) > 1 as "is_beginning!"
        from regexp_split_to_table(btrim(search_words($1)), '\s+') with ordinality as split (word, place)
        order by place
        "#,
        words.as_str(),
    )
    .fetch_all(connection)
    .await?;
    let mut terms: Vec<Term> = Vec::new();
    for row in rows.into_iter().filter(|row| !row.exact.is_empty()) {
        let is_beginning = row.is_beginning && !row.stem.is_empty();
        let term = Term { exact: row.exact, stem: row.stem, is_beginning, usage: Usage::Rare };
        match terms.iter_mut().find(|known| known.exact == term.exact) {
            Some(known) => known.is_beginning |= term.is_beginning,
            None => terms.push(term),
        }
    }
    terms.truncate(TERMS_MAX);
    Ok(Terms(terms))
}

/// Notes of each word whether it is in few products or in many, and of one that is in none what was probably meant: the
/// most usual of its neighbours.
pub(super) async fn weigh(snapshot: &mut Snapshot<'_>, terms: &mut Terms) -> Result<(), sqlx::Error> {
    let queries: Vec<String> = terms.meaningful().map(Term::query).collect();
    let counts = sqlx::query_scalar!(
        r#"
        select (
            select count(*)
            from (select from products where deleted_at is null and search @@ query::tsquery limit $2) as having_it
        ) as "products!"
        from unnest($1::text[]) with ordinality as term (query, place)
        order by place
        "#,
        &queries,
        COMMON_MIN,
    )
    .fetch_all(snapshot.next().await?)
    .await?;
    let meaningful = terms.0.iter_mut().filter(|term| !term.stem.is_empty());
    for (term, products) in meaningful.zip(counts) {
        term.usage = match products {
            0 => Usage::Unknown { instead: most_usual(snapshot.next().await?, &term.neighbours()).await? },
            COMMON_MIN.. => Usage::Common,
            _ => Usage::Rare,
        };
    }
    Ok(())
}

/// The one of these lexemes that most products have; `None` if none has any.
async fn most_usual(connection: &mut PgConnection, lexemes: &[String]) -> Result<Option<String>, sqlx::Error> {
    if lexemes.is_empty() {
        return Ok(None);
    }
    sqlx::query_scalar!(
        r#"
        select lexeme as "lexeme!"
        from unnest($1::text[]) as neighbour (lexeme)
        cross join lateral (
            select count(*) as products
            from (
                select from products where deleted_at is null and search @@ ('''' || lexeme || '''')::tsquery limit $2
            ) as having_it
        ) as counted
        where products > 0
        order by products desc, lexeme
        limit 1
        "#,
        lexemes,
        COMMON_MIN,
    )
    .fetch_optional(connection)
    .await
}
