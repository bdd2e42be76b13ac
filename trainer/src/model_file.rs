//! A model file from the disk.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use husky::{Classifier, Error, weights::MAX_FILE};
use image::ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};

use crate::files::read_file;

/// Its bytes.
///
/// # Errors
/// One sentence that names the file.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes =
        read_file(path, MAX_FILE, Error::ModelTooLarge).with_context(|| format!("{}: the model", path.display()))?;
    // The likeliest slip: its first bytes would be taken for a length, and the error would speak of that.
    let photo = matches!(image::guess_format(&bytes), Ok(Jpeg | Png | WebP | Gif | Bmp));
    ensure!(!photo, "{}: is a photo, not a model: the model file is named first", path.display());
    Ok(bytes)
}

/// The classifier in it.
///
/// # Errors
/// One sentence that names the file.
pub fn load(path: &Path) -> Result<Classifier> {
    Classifier::load(&read(path)?).with_context(|| path.display().to_string())
}
