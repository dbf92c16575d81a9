//! Every way a request can fail without an answer; what was asked of a server names the URL.

type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("`{url}` is not a usable URL: {reason}")]
    Url { url: String, reason: String },
    #[error("the API key holds characters that no key has")]
    Key,
    #[error("{url} cannot be reached")]
    Unreachable { url: String, source: Cause },
    #[error("{url} broke off before the answer was complete")]
    Broken { url: String, source: Cause },
    #[error("{url} did not answer within {seconds} s")]
    Timeout { url: String, seconds: u64 },
    #[error("{url} answered something else than expected: {reason}")]
    Unexpected { url: String, reason: String },
}
