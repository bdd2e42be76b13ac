//! Photo files: finding them below a folder and reading them, whatever lies there.

use std::path::{Path, PathBuf};

use anyhow::Result;
use husky::Pixels;
use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

use crate::files::read_file;

/// A file that could not be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its path.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Every file below `folder`, sorted by path, and what could not be looked at. Links are followed, loops of them are
/// not; hidden files and folders are left out. Nothing is opened.
pub fn find(folder: &Path) -> (Vec<PathBuf>, Vec<Skipped>) {
    let shown = |entry: &DirEntry| entry.depth() == 0 || !is_hidden(Path::new(entry.file_name()));
    let (mut files, mut skipped) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter().filter_entry(shown) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) => files.push(entry.into_path()),
            Err(error) => {
                let file = error.path().unwrap_or(folder).display().to_string();
                let reason = match (error.loop_ancestor(), error.io_error()) {
                    (Some(ancestor), _) => format!("is a link back to {}, a folder around it", ancestor.display()),
                    (None, Some(io)) => format!("can't be looked at: {io}"),
                    (None, None) => error.to_string(),
                };
                skipped.push(Skipped { file, reason });
            }
        }
    }
    files.sort();
    (files, skipped)
}

/// What `path` names: a file itself or, of a folder, what [`find`] does.
pub fn named(path: &Path) -> (Vec<PathBuf>, Vec<Skipped>) {
    if path.is_dir() { find(path) } else { (vec![path.to_owned()], Vec::new()) }
}

/// Whether a name starts with a dot, as those of `.DS_Store` and `._photo.jpg` do.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// A photo file's bytes.
///
/// # Errors
/// A sentence without the file's name for what can't be read, is no file (a pipe, socket or device is not even opened),
/// or is longer than the decoder accepts.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    read_file(path, Pixels::MAX_FILE, husky::Error::PhotoTooLarge)
}
