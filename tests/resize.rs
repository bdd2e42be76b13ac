//! The one resize is what it says; `trainer/tests/resize.rs` holds it to another's bytes, the same on every processor.
#![allow(clippy::unwrap_used)]

use husky::{Pixels, resize::resize};

/// Values that look random.
fn noise(width: u32, height: u32) -> Pixels {
    let mut state = 7_u32;
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
        let pixels = noise(width, height);
        for (got, exact) in resize(&pixels, size).rgb().iter().zip(by_definition(&pixels, size)) {
            let off = (f64::from(*got) - exact).abs();
            // Rounded once after each direction, and the weights are fixed-point.
            assert!(off <= 1.1, "{width}x{height} to {size}: {got} and {exact}");
        }
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
