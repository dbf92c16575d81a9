//! The bytes to import: a file or standard input, plain or gzip, counted for the progress bar.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens `path` (`-` is standard input). What is gzip is known by its first bytes, not by its name.
pub(crate) fn open(path: &Path, progress: &ProgressBar) -> anyhow::Result<Box<dyn BufRead + Send>> {
    let refuse = || format!("{} cannot be read", path.display());
    let raw: Box<dyn Read + Send> = if path == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let file = File::open(path).with_context(refuse)?;
        let about = file.metadata().with_context(refuse)?;
        if about.is_file() {
            progress.set_length(about.len());
        }
        Box::new(file)
    };
    let mut buffered = BufReader::new(progress.wrap_read(raw));
    let is_gzip = buffered.fill_buf().with_context(refuse)?.starts_with(&GZIP_MAGIC);
    Ok(if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(buffered))) } else { Box::new(buffered) })
}

/// A bar where the length is known, else a spinner.
pub(crate) fn template(progress: &ProgressBar) -> &'static str {
    if progress.length().is_some() { "{wide_bar} {percent}% {msg}, {eta} left" } else { "{spinner} {msg}" }
}
