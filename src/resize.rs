//! The one resize. It weighs every pixel of the photo: nearest-neighbour and plain bilinear sampling look at a few
//! per cent of them, where someone can hide another picture.

use fast_image_resize::{
    FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};

use crate::Pixels;

/// Stretches a picture to `size` by `size` pixels through an antialiased triangle filter, as Pillow's `BILINEAR` and
/// TensorFlow's `bilinear` with `antialias=True` do.
///
/// # Panics
/// If `size` is not in `1..=`8192, which is far above what a spec may ask for.
pub fn resize(pixels: &Pixels, size: u32) -> Pixels {
    const FITS: &str = "a Pixels is never empty and its buffer fits its size";
    let mut rgb = vec![0; size as usize * size as usize * 3];
    // Typed, so that the code for the thirteen other kinds of pixels is not built: it is 20 times as much.
    let source = TypedImageRef::<U8x3>::from_buffer(pixels.width(), pixels.height(), pixels.rgb()).expect(FITS);
    let mut target = TypedImage::<U8x3>::from_buffer(size, size, &mut rgb).expect(FITS);
    let triangle = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
    Resizer::new().resize_typed(&source, &mut target, &triangle).expect(FITS);
    Pixels::from_rgb(size, size, rgb).unwrap_or_else(|_| panic!("{FITS}"))
}
