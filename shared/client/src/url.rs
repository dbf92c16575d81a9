//! Base URLs, and paths joined to them.

use http::Uri;

use crate::error::ClientError;

/// Checks a base URL and takes its trailing slash off.
pub(crate) fn base(text: &str) -> Result<String, ClientError> {
    let refuse = |reason: &str| ClientError::Url { url: text.to_owned(), reason: reason.to_owned() };
    let uri: Uri = text.parse().map_err(|_| refuse("it must look like http://host:port"))?;
    if uri.scheme_str() != Some("http") {
        return Err(refuse("it must begin with http://"));
    }
    if uri.host().is_none_or(str::is_empty) {
        return Err(refuse("it has no host"));
    }
    if uri.query().is_some() {
        return Err(refuse("it must not have a query"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

pub(crate) fn join(base: &str, path: &str) -> Result<Uri, ClientError> {
    let url = format!("{base}{path}");
    url.parse().map_err(|error: http::uri::InvalidUri| ClientError::Url { url, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_http_with_a_host_and_loses_its_slash() {
        assert_eq!(base("http://127.0.0.1:7080/").ok().as_deref(), Some("http://127.0.0.1:7080"));
        for bad in ["127.0.0.1:7080", "https://shop", "http://", "/products", "", "http://a/?b=c"] {
            let error = base(bad).expect_err(bad);
            assert!(error.to_string().contains(bad), "{error}");
        }
    }
}
