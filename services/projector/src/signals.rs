//! SIGINT and SIGTERM, for the commands that run to an end of their own.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled by the first signal; a second one ends the process at once with `exit_code`.
pub(crate) fn stop_on_signal(exit_code: u8) -> anyhow::Result<CancellationToken> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let mut was_told = false;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if was_told {
                std::process::exit(exit_code.into());
            }
            was_told = true;
            told.cancel();
        }
    });
    Ok(stop)
}
