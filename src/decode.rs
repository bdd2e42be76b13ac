//! A photo file's bytes become a picture.

use crate::{Pixels, Result};

/// Decodes a photo.
pub fn decode(_bytes: &[u8]) -> Result<Pixels> {
    todo!()
}
