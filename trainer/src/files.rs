//! Writing files so that a reader only ever finds whole ones.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Puts `bytes` at `path`, mode 0644: all of them or, after a crash, a kill or on a full disk, what was there before.
///
/// # Errors
/// One sentence that names the file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".writing-")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        // The rename itself must survive a power cut, too.
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("{}: could not be written, what was there before is kept", path.display()))
}
