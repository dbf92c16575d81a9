//! What a request demands of its answer, beyond what every answer is: writes to include, and a reading of its own.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bootstrap::Problem;
use freshness::{Requirement, TokenFault};

use crate::error::ReadError;
use crate::measures;

/// Nothing, for most requests.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// The writes that the request's `Consistency-Token`s name.
    pub(crate) including: Requirement,
    /// `Cache-Control: no-cache`: the answer must be read from the primary after the request arrived.
    pub(crate) no_cache: bool,
}

impl Demand {
    pub(crate) fn is_none(&self) -> bool {
        !self.no_cache && self.including.is_empty()
    }

    /// # Errors
    /// The tokens are not ours, or too many.
    pub(crate) fn read(request: &HeaderMap) -> Result<Self, ReadError> {
        let mut texts = Vec::new();
        for value in request.get_all("consistency-token") {
            texts.push(value.to_str().map_err(|_| ReadError::Token(TokenFault::NotOurs))?);
        }
        let including = Requirement::parse(texts).map_err(ReadError::Token)?;
        Ok(Self { including, no_cache: says_no_cache(request) })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Demand {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self::read(&parts.headers).inspect_err(|_| measures::token_refused())?)
    }
}

/// Whether the directive `no-cache` is there (RFC 9111, 5.2.1.4: no stored answer without validation at the origin).
///
/// `max-age=0` asks for less (5.2.1.1: an age of at most 0 seconds): what is kept here is validated by the log all the
/// time. And browsers send it on every ordinary reload, `no-cache` on a forced one. `Pragma` is deprecated (5.4).
fn says_no_cache(request: &HeaderMap) -> bool {
    let values = request.get_all(header::CACHE_CONTROL).into_iter().filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(',')).map(str::trim);
    directives.any(|directive| directive.split('=').next().is_some_and(|name| name.eq_ignore_ascii_case("no-cache")))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_the_directive_no_cache_asks_past_the_caches() {
        let asks = |values: &[&'static str]| {
            let values = values.iter().map(|value| (header::CACHE_CONTROL, HeaderValue::from_static(value)));
            Demand::read(&values.collect()).expect("no token is wrong").no_cache
        };
        for forced in [&["no-cache"][..], &["No-Cache"], &["max-age=0, no-cache"], &["max-age=0", "no-cache"]] {
            assert!(asks(forced), "{forced:?}");
        }
        for ordinary in [&[][..], &["max-age=0"], &["no-store"], &["no-cached"], &["only-if-cached, max-stale=5"]] {
            assert!(!asks(ordinary), "{ordinary:?}");
        }
    }
}
