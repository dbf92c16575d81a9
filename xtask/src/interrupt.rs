//! Ctrl-C, SIGTERM and a closed terminal, turned into a flag that every wait looks at.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on a signal sets the flag instead of ending this process.
pub fn install() -> anyhow::Result<()> {
    let flag = FLAG.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(flag))?;
    }
    Ok(())
}

/// Whether a signal came and was not taken. While everything is being stopped this is a second Ctrl-C: then no wait is kept.
pub fn is_pending() -> bool {
    FLAG.get().is_some_and(|flag| flag.load(Ordering::SeqCst))
}

/// Takes a signal as the wish to stop; the next one is pending again.
pub fn take() -> bool {
    FLAG.get().is_some_and(|flag| flag.swap(false, Ordering::SeqCst))
}
