//! The one resize. It weighs every pixel of the photo: nearest-neighbour and plain bilinear sampling look at a few
//! per cent of them, where someone can hide another picture.

use fast_image_resize::{
    FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer,
    images::{Image, ImageRef},
};

use crate::Pixels;

/// Stretches a picture to `size` by `size` pixels through an antialiased triangle filter, as Pillow's `BILINEAR` and
/// TensorFlow's `bilinear` with `antialias=True` do.
///
/// # Panics
/// If `size` is not in `1..=`[`Pixels::MAX_SIDE`].
pub fn resize(pixels: &Pixels, size: u32) -> Pixels {
    const FITS: &str = "a Pixels is never empty and its buffer fits its size";
    let source = ImageRef::new(pixels.width(), pixels.height(), pixels.rgb(), PixelType::U8x3).expect(FITS);
    let mut target = Image::new(size, size, PixelType::U8x3);
    let triangle = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize(&source, &mut target, &triangle).expect(FITS);
    Pixels::from_rgb(size, size, target.into_vec()).expect("the size is within the limits")
}
