//! A model file from the disk.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use husky::Classifier;

/// Its bytes.
///
/// # Errors
/// One sentence that names the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{}: the model file can't be read", path.display()))
}

/// The classifier in it.
///
/// # Errors
/// One sentence that names the file.
pub fn load(path: &Path) -> Result<Classifier> {
    Classifier::load(&read(path)?).with_context(|| path.display().to_string())
}
