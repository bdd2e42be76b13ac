//! The one resize against another's code: its bytes, and blind to pictures hidden where careless resizes look.
#![allow(clippy::unwrap_used, missing_docs)]

use fast_image_resize::{
    CpuExtensions, FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};
use husky::{Pixels, resize::resize};
use rand::Rng;
use trainer::random::{Stream, rng};

/// Widths and heights of pictures, and sizes that they are brought to.
const SIZES: [(u32, u32, u32); 9] = [
    (300, 200, 128),
    (200, 300, 128),
    (128, 128, 128),
    (129, 127, 128),
    (40, 30, 128),
    (1, 1, 16),
    (1, 500, 16),
    (500, 1, 16),
    (1000, 700, 7),
];

#[test]
fn every_processor_gives_the_same_bytes() {
    for (width, height, size) in SIZES {
        let mut rgb = vec![0; (width * height * 3) as usize];
        rng(1, Stream::Augmentation, 0, 0).fill_bytes(&mut rgb);
        let pixels = Pixels::from_rgb(width, height, rgb).unwrap();
        let mut scalar = vec![0; (size * size * 3) as usize];
        let source = TypedImageRef::<U8x3>::from_buffer(width, height, pixels.rgb()).unwrap();
        let mut target = TypedImage::<U8x3>::from_buffer(size, size, &mut scalar).unwrap();
        let mut resizer = Resizer::new();
        #[expect(unsafe_code, reason = "the only way to switch SIMD off; every processor supports none")]
        unsafe {
            resizer.set_cpu_extensions(CpuExtensions::None);
        }
        let triangle = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        resizer.resize_typed(&source, &mut target, &triangle).unwrap();
        assert_eq!(resize(&pixels, size).rgb(), scalar, "{width}x{height} to {size}");
    }
}

/// 6 % of the pixels are black, just those that plain bilinear sampling looks at: it sees black, a person sees white.
#[test]
fn a_picture_hidden_in_a_few_pixels_is_not_seen() {
    let (side, size) = (1024, 128);
    let step = side / size;
    // Without antialiasing, a target pixel is read from the two source pixels around its centre.
    let sampled = |i: u32| i % step == step / 2 - 1 || i % step == step / 2;
    let mut rgb = Vec::new();
    let mut hidden = 0;
    for y in 0..side {
        for x in 0..side {
            let black = sampled(x) && sampled(y);
            hidden += u32::from(black);
            rgb.extend([if black { 0 } else { 255 }; 3]);
        }
    }
    assert!(f64::from(hidden) / f64::from(side * side) < 0.07);
    let pixels = Pixels::from_rgb(side, side, rgb).unwrap();

    let source = TypedImageRef::<U8x3>::from_buffer(side, side, pixels.rgb()).unwrap();
    let mut seen = vec![0; (size * size * 3) as usize];
    let mut target = TypedImage::<U8x3>::from_buffer(size, size, &mut seen).unwrap();
    let plain = ResizeOptions::new().resize_alg(ResizeAlg::Interpolation(FilterType::Bilinear));
    Resizer::new().resize_typed(&source, &mut target, &plain).unwrap();
    assert!(seen.iter().all(|&v| v < 20), "the attack works where it is said to work, or this test says nothing");

    assert!(resize(&pixels, size).rgb().iter().all(|&v| v > 220), "what a person sees is what the network sees");
}
