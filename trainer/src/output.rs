//! Standard output and standard error.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::{Context, Result};

/// Writes `text` at once. `false` says that nobody reads on, as behind `| head`: no reason to complain, and none to go
/// on.
///
/// # Errors
/// Where it can't be written for another reason, such as a full disk.
pub fn print(text: &str) -> Result<bool> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("standard output can't be written"),
    }
}

/// Writes a line to standard error. Where that can't be, as in a terminal that was closed, the work goes on.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
