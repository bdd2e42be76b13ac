//! The one resize. It weighs every pixel of the photo: nearest-neighbour and plain bilinear sampling look at a few
//! per cent of them, where someone can hide another picture.

use crate::Pixels;

/// Stretches a picture to `size` by `size` pixels through an antialiased triangle filter, as Pillow's `BILINEAR` and
/// TensorFlow's `bilinear` with `antialias=True` do.
///
/// # Panics
/// If `size` is not in `1..=`8192, which is far above what a spec may ask for.
pub fn resize(pixels: &Pixels, size: u32) -> Pixels {
    let [width, height, side] = [pixels.width(), pixels.height(), size].map(|length| length as usize);
    let rgb = husky_engine::resize(pixels.rgb(), width, height, side);
    // Not `expect`, which would bring the errors' `Debug` into the page.
    Pixels::from_rgb(size, size, rgb).unwrap_or_else(|_| panic!("a square of this size is no picture"))
}
