//! How a command fails: in plain words on standard error, and by its exit code.

use std::io;
use std::process::ExitCode;

use anyhow::anyhow;
use client::{Problem, Response};
use http::StatusCode;

/// The server understood and said no.
pub(crate) const REFUSED: u8 = 1;
/// Wrong use, no connection, or a server that cannot serve.
const FAILED: u8 = 2;

/// A 4xx answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) Problem);

/// The answer if it is a success, else what its problem says.
pub(crate) fn accepted(answer: Response) -> anyhow::Result<Response> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let problem = answer.problem();
    if answer.status == StatusCode::UNAUTHORIZED {
        let hint = "pass --api-key or set FRESHET_API_KEY; the stack's own key is taken only without --url";
        return Err(anyhow::Error::from(Refused(problem)).context(hint));
    }
    if answer.status.is_client_error() {
        return Err(Refused(problem).into());
    }
    Err(anyhow!("{problem} [request id {}]", problem.request_id))
}

pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    // Whoever read our output has seen enough, as in `freshet export | head`.
    let is_unread = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    if error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>()).any(is_unread) {
        return ExitCode::SUCCESS;
    }
    eprintln!("freshet: {error:#}");
    ExitCode::from(if error.is::<Refused>() { REFUSED } else { FAILED })
}
