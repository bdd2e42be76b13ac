//! Reading only what is a file, and writing so that a reader only ever finds whole ones.

use std::fs::{self, File, Permissions};
use std::io::{Cursor, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::builder::{PathBufValueParser, TypedValueParser};
use image::{DynamicImage, ImageFormat};

/// The bytes of a file; `too_long` is the error for more than `limit` of them. A pipe, socket or device is not even opened.
///
/// # Errors
/// A sentence without the file's name.
pub fn read_file(path: &Path, limit: usize, too_long: impl FnOnce(usize) -> husky::Error) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).context("can't be read")?;
    if metadata.is_dir() {
        bail!("is a folder, not a file");
    }
    if !metadata.is_file() {
        bail!("is a pipe, socket or device, not a file");
    }
    // Asked before memory is set aside for it.
    if metadata.len() > limit as u64 {
        return Err(too_long(metadata.len() as usize).into());
    }
    fs::read(path).context("can't be read")
}

/// A short text file.
///
/// # Errors
/// One sentence that names the file.
pub fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("{}: can't be read as text", path.display()))
}

/// Values as files have them.
pub fn little_endian(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// How the names begin of files that are not whole yet.
const UNFINISHED: &str = ".writing-";

/// Removes what a kill in the middle of [`write_atomically`] left in `folder`.
pub fn remove_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
            // One that stays is only in the way of the disk's space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Reads the name of a file that is to be written: what is wrong with it is said before the work that leads up to it.
pub fn new_file() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        folder_of(&path)?;
        ensure!(!path.is_dir(), "is a folder: name a file in it");
        anyhow::Ok(path)
    })
}

/// Keeps a command from overwriting what it reads.
///
/// # Errors
/// One sentence: `out` is one of the files `inputs`.
pub fn ensure_other<'a>(out: &Path, inputs: impl IntoIterator<Item = &'a PathBuf>) -> Result<()> {
    let Ok(there) = fs::canonicalize(out) else { return Ok(()) };
    let is_input = inputs.into_iter().any(|input| fs::canonicalize(input).is_ok_and(|input| input == there));
    ensure!(!is_input, "{}: is what is read, and would be lost: name another file", out.display());
    Ok(())
}

/// The folder that a file lies in.
fn folder_of(path: &Path) -> Result<&Path> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    ensure!(folder.is_dir(), "the folder {} is not there: make it first", folder.display());
    Ok(folder)
}

/// Puts `bytes` at `path`, mode 0644: all of them or, after a crash, a kill or on a full disk, what was there before.
///
/// # Errors
/// One sentence that names the file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = folder_of(path).with_context(|| path.display().to_string())?;
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
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

/// A picture as a PNG file.
///
/// # Errors
/// The picture is too large for one.
pub fn png_bytes(picture: &DynamicImage) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(bytes.into_inner())
}

/// A CSV table: its head, and a line for each row.
///
/// # Errors
/// A row that is no flat structure.
pub fn csv_bytes(columns: &[&str], rows: &[impl serde::Serialize]) -> Result<Vec<u8>> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.serialize(row)?;
    }
    Ok(writer.into_inner()?)
}
