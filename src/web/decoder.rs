use wasm_bindgen::prelude::*;

use super::Failure;
use crate::{Error, decode, hidden::hides_another, resize, spec::Input};

/// A decoded photo.
#[wasm_bindgen(getter_with_clone)]
pub struct Picture {
    /// The photo as a network sees it, `[size, size, 3]` bytes.
    pub rgb: Vec<u8>,
    /// Whether a careless program would see another picture in it.
    #[wasm_bindgen(js_name = hidesAnother)]
    pub hides_another: bool,
}

/// A photo file (JPEG, PNG, WebP, GIF or BMP) as a network sees it, upright, in sRGB and stretched to a square of
/// `size` pixels a side.
///
/// # Errors
/// A JavaScript error with one of the codes `photo-…`, or `model-input-size` for a size that no model may have.
#[wasm_bindgen]
pub fn decode(photo: &[u8], size: u32) -> Result<Picture, Failure> {
    if !(1..=Input::MAX_SIZE).contains(&size) {
        return Err(Error::ModelInputSize(size).into());
    }
    let pixels = decode::decode(photo, size)?;
    Ok(Picture { hides_another: hides_another(&pixels, size), rgb: resize::resize(&pixels, size).into_rgb() })
}
