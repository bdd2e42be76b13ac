//! Pictures that are no photos at all: one colour, gradients, stripes, noise. A network answers about them, too, and may
//! be sure of it. Two figures of the picture as the network sees it tell them from photos. They were taken of every third
//! of the 4,759 research photos at 240 and at 128 pixels a side, and the limits lie far from all of these.

use crate::{Pixels, engine::Texture};

/// Half the mean square difference of neighbouring pixels, as a share of the variance. Up to 0.26 in photos, 1 in noise.
const ROUGHEST: f64 = 0.4;
/// The mean second difference of grey values, of 256, over steps of a 32nd of the picture, in the direction in which it is
/// smaller. From 6 on in photos; 0 in stripes, up to 1.2 in gradients, which is their rounding.
const SMOOTHEST: f64 = 2.0;
/// Steps that make up a side.
const STEPS: usize = 32;
/// Smaller pictures were not looked at, and pass.
const SMALLEST: u32 = 64;

/// Whether a square picture may be a photo.
pub(crate) fn may_be_photo(picture: &Pixels) -> bool {
    let size = picture.width() as usize;
    if picture.width() < SMALLEST || picture.height() != picture.width() {
        return true;
    }
    let step = size / STEPS;
    let texture = Texture::of(picture.rgb(), size, step);
    let count = (size * size) as f64;
    let mean = texture.values as f64 / count;
    let variance = texture.squares as f64 / count - mean * mean;
    let differences = texture.differences as f64 / (2 * (size - 1) * size) as f64;
    let [along, down] = texture.bends;
    let smoothness = along.min(down) as f64 / ((size - 2 * step) * size) as f64 / 256.0;
    differences <= 2.0 * ROUGHEST * variance && smoothness >= SMOOTHEST
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn passes(size: u32, value: impl Fn(u32, u32) -> [u8; 3]) -> bool {
        let rgb = (0..size * size).flat_map(|i| value(i % size, i / size)).collect();
        may_be_photo(&Pixels::from_rgb(size, size, rgb).unwrap())
    }

    /// Of a linear congruential generator.
    fn noise(x: u32, y: u32) -> u8 {
        let mut state = (u64::from(y) << 32 | u64::from(x)) ^ 0x9e37_79b9;
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        }
        (state >> 56) as u8
    }

    /// Soft blobs of about a tenth of the picture with a little grain, as rough and as bent as photos are.
    fn like_a_photo(size: u32) -> impl Fn(u32, u32) -> [u8; 3] {
        move |x, y| {
            let [x, y, size] = [x, y, size].map(|n| n as f32);
            let [u, v] = [40.0 * x / size, 40.0 * y / size];
            let grey = 128.0 + 60.0 * (u + (0.7 * v).sin()).sin() + 50.0 * (v - (0.9 * u).cos()).cos();
            [grey as u8 + noise(x as u32, y as u32) % 8; 3]
        }
    }

    #[test]
    fn what_is_no_photo_is_told_at_any_size() {
        for size in [64, 128, 224, 240] {
            assert!(passes(size, like_a_photo(size)), "{size}");
            for level in [0, 1, 128, 255] {
                assert!(!passes(size, |_, _| [level, 255 - level, 77]), "flat {size} {level}");
            }
            assert!(!passes(size, |x, y| [noise(x, y); 3]), "grey noise {size}");
            assert!(!passes(size, |x, y| [noise(x, y), noise(x, !y), noise(!x, y)]), "coloured noise {size}");
            assert!(!passes(size, |x, y| [if noise(x, y) > 200 { 255 } else { 0 }; 3]), "salt {size}");
            assert!(!passes(size, |x, _| [if x / 8 % 2 == 0 { 255 } else { 0 }; 3]), "stripes {size}");
            assert!(!passes(size, |_, y| [if y / 3 % 2 == 0 { 200 } else { 90 }; 3]), "lines {size}");
            for slope in [0.1, 0.31, 0.5, 0.98] {
                let gradient = |x: u32, y: u32| [((x as f32 + 0.6 * y as f32) * slope * 150.0 / size as f32) as u8; 3];
                assert!(!passes(size, gradient), "gradient {size} {slope}");
            }
        }
    }

    #[test]
    fn small_pictures_pass() {
        assert!(passes(32, |_, _| [0; 3]));
    }
}
