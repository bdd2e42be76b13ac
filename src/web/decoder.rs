use wasm_bindgen::prelude::*;

use super::Failure;
use crate::{Error, decode, resize, spec::Input};

/// A photo file (JPEG, PNG, WebP, GIF or BMP) as a network sees it, upright, in sRGB and stretched to a square of
/// `size` pixels a side: `[size, size, 3]` bytes.
///
/// # Errors
/// A JavaScript error with one of the codes `photo-…`, or `model-input-size` for a size that no model may have.
#[wasm_bindgen]
pub fn decode(photo: &[u8], size: u32) -> Result<Vec<u8>, Failure> {
    if !(1..=Input::MAX_SIZE).contains(&size) {
        return Err(Error::ModelInputSize(size).into());
    }
    Ok(resize::resize(&decode::decode(photo, size)?, size).into_rgb())
}
