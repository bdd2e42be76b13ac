//! The one resize: exact, the same on every processor, and blind to pictures hidden in a few pixels.
#![allow(clippy::unwrap_used)]

use fast_image_resize::{
    CpuExtensions, FilterType, ResizeAlg, ResizeOptions, Resizer,
    images::{TypedImage, TypedImageRef},
    pixels::U8x3,
};
use husky::{Pixels, resize::resize};

/// Values that look random.
fn noise(width: u32, height: u32, mut state: u32) -> Pixels {
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as u8
    };
    let rgb = std::iter::repeat_with(next).take(width as usize * height as usize * 3).collect();
    Pixels::from_rgb(width, height, rgb).unwrap()
}

/// The antialiased triangle filter by its definition, in 64-bit floats: each target pixel is the mean of all source
/// pixels, weighted by their distance from its centre, 0 at one target pixel (or, when enlarging, one source pixel).
fn by_definition(pixels: &Pixels, size: u32) -> Vec<f64> {
    let weights = |target: u32, length: u32| {
        let scale = f64::from(length) / f64::from(size);
        let support = scale.max(1.0);
        let center = (f64::from(target) + 0.5) * scale;
        let weights: Vec<f64> =
            (0..length).map(|i| (1.0 - ((f64::from(i) + 0.5 - center) / support).abs()).max(0.0)).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(move |w| w / sum).collect::<Vec<_>>()
    };
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let mut result = Vec::new();
    let columns: Vec<_> = (0..size).map(|x| weights(x, pixels.width())).collect();
    for y in 0..size {
        let rows = weights(y, pixels.height());
        for column in &columns {
            for c in 0..3 {
                let mut sum = 0.0;
                for (j, wy) in rows.iter().enumerate().take(height).filter(|(_, w)| **w > 0.0) {
                    for (i, wx) in column.iter().enumerate().take(width).filter(|(_, w)| **w > 0.0) {
                        sum += wy * wx * f64::from(pixels.rgb()[(j * width + i) * 3 + c]);
                    }
                }
                result.push(sum);
            }
        }
    }
    result
}

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
fn it_is_the_triangle_filter_within_one_step() {
    for (width, height, size) in SIZES {
        let pixels = noise(width, height, 7);
        for (got, exact) in resize(&pixels, size).rgb().iter().zip(by_definition(&pixels, size)) {
            let off = (f64::from(*got) - exact).abs();
            // Rounded once after each direction, and the weights are fixed-point.
            assert!(off <= 1.1, "{width}x{height} to {size}: {got} and {exact}");
        }
    }
}

#[test]
fn every_processor_gives_the_same_bytes() {
    for (width, height, size) in SIZES {
        let pixels = noise(width, height, 8);
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

#[test]
fn a_constant_picture_stays_constant() {
    for value in [0, 1, 127, 254, 255] {
        for (width, height, size) in SIZES {
            let pixels = Pixels::from_rgb(width, height, vec![value; (width * height * 3) as usize]).unwrap();
            assert!(resize(&pixels, size).rgb().iter().all(|&v| v == value), "{value}, {width}x{height} to {size}");
        }
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
