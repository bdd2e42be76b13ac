//! A picture, stretched to a square through an antialiased triangle filter: rows first, then columns, each sum of pixels
//! times fixed-point weights rounded once, as Pillow and `fast_image_resize` do it. `trainer/tests/resize.rs` holds it to
//! the bytes of the latter, which is five times as much for the page to download: it knows other filters and pixels, too.

use fearless_simd::{Level, dispatch, prelude::*, u8x16, u16x8, u32x4};

/// Bytes of a pixel.
const CHANNELS: usize = 3;
/// Bytes of a row that are summed at once: two vectors.
const BLOCK: usize = 32;

/// Which pixels of a line become one, and how much each weighs.
struct Taps {
    first: usize,
    weights: Vec<u16>,
}

/// What becomes of a line.
struct Line {
    pixels: Vec<Taps>,
    /// Weights are in units of `2^-precision`.
    precision: u32,
}

/// `rgb`, `[height, width, 3]`, as `[size, size, 3]`.
///
/// # Panics
/// If `rgb` has another length, or one of the others is 0.
// In a caller that is built for size the kernels would not stay in one piece.
#[inline(never)]
pub fn resize(rgb: &[u8], width: usize, height: usize, size: usize) -> Vec<u8> {
    let pitch = width * CHANNELS;
    assert_eq!(rgb.len(), height * pitch, "a picture to resize");
    dispatch!(Level::new(), simd => simd.vectorize(
        #[inline(always)]
        || {
            // Vectors are read whole, also at the end of a row.
            let mut rows = if height == size {
                let mut rows = Vec::with_capacity(rgb.len() + BLOCK);
                rows.extend_from_slice(rgb);
                rows
            } else {
                sum_rows(simd, rgb, pitch, &Line::new(height, size))
            };
            if width != size {
                rows.resize(size * pitch + BLOCK, 0);
                rows = sum_columns(simd, &rows, pitch, &Line::new(width, size));
            }
            rows.truncate(size * size * CHANNELS);
            rows
        },
    ))
}

impl Line {
    /// The mean of the pixels within one target pixel (or, to enlarge, one source pixel), each less the farther it is.
    fn new(length: usize, size: usize) -> Self {
        let scale = length as f64 / size as f64;
        let radius = scale.max(1.0);
        let weights = |target: usize| {
            let center = (target as f64 + 0.5) * scale;
            let first = (center - radius).floor().max(0.0) as usize;
            let last = (center + radius).ceil().min(length as f64) as usize;
            let weight = |place: usize| (1.0 - ((place as f64 - (center - 0.5)) * (1.0 / radius)).abs()).max(0.0);
            let weights: Vec<f64> = (first..last).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            (first, weights.into_iter().map(|weight| weight / sum).collect::<Vec<_>>())
        };
        let lines: Vec<_> = (0..size).map(weights).collect();
        let largest = lines.iter().flat_map(|(_, weights)| weights).fold(0.0, |a: f64, &b| a.max(b));
        // As many bits as 16 with a sign have room for.
        let unit = |precision: u32| f64::from(1 << precision);
        let precision = (0..22).find(|&p| (largest * unit(p + 1)).round() >= 32_768.0).unwrap_or(21);
        let whole = |(first, weights): (usize, Vec<f64>)| Taps {
            first,
            weights: weights.into_iter().map(|weight| (weight * unit(precision)).round() as u16).collect(),
        };
        Self { pixels: lines.into_iter().map(whole).collect(), precision }
    }

    /// Half a unit: what rounds a sum.
    #[inline(always)]
    fn half<S: Simd>(&self, simd: S) -> u32x4<S> {
        u32x4::splat(simd, 1 << (self.precision - 1))
    }

    /// The values of sums, which bytes hold. Weights add up to 1, about.
    #[inline(always)]
    fn whole<S: Simd>(&self, sum: u32x4<S>) -> u32x4<S> {
        (sum >> self.precision).min(255)
    }
}

/// Sums of rows of `pitch` bytes, with some bytes after the last.
#[inline(always)]
fn sum_rows<S: Simd>(simd: S, rgb: &[u8], pitch: usize, line: &Line) -> Vec<u8> {
    let few = if pitch < BLOCK { [rgb, &[0; BLOCK]].concat() } else { Vec::new() };
    let rgb = if pitch < BLOCK { &few } else { rgb };
    let mut target = vec![0; line.pixels.len() * pitch + BLOCK];
    for (y, taps) in line.pixels.iter().enumerate() {
        for start in (0..pitch).step_by(BLOCK) {
            // The last block of a row begins within the one before it.
            let start = start.min(pitch.saturating_sub(BLOCK));
            let mut sums = [[line.half(simd); 4]; 2];
            let mut place = taps.first * pitch + start;
            for &weight in &taps.weights {
                let bytes = &rgb[place..place + BLOCK];
                let weight = u16x8::splat(simd, weight);
                for (sums, bytes) in sums.iter_mut().zip(bytes.chunks_exact(16)) {
                    let (low, high) = u8x16::from_slice(simd, bytes).widen();
                    let ((a, b), (c, d)) = (low.widening_mul(weight), high.widening_mul(weight));
                    *sums = [sums[0] + a, sums[1] + b, sums[2] + c, sums[3] + d];
                }
                place += pitch;
            }
            // In a picture of few columns this writes into the next row, which comes later.
            let target = &mut target[y * pitch + start..][..BLOCK];
            for (sums, target) in sums.into_iter().zip(target.chunks_exact_mut(16)) {
                let mut values = [0; 16];
                for (sum, values) in sums.into_iter().zip(values.chunks_exact_mut(4)) {
                    line.whole(sum).store_slice(values);
                }
                for (byte, value) in target.iter_mut().zip(values) {
                    *byte = value as u8;
                }
            }
        }
    }
    target
}

/// Sums of pixels, in rows of `pitch` bytes with some bytes after the last.
#[inline(always)]
fn sum_columns<S: Simd>(simd: S, rgb: &[u8], pitch: usize, line: &Line) -> Vec<u8> {
    let (height, width) = ((rgb.len() - BLOCK) / pitch, line.pixels.len());
    let mut target = vec![0; height * width * CHANNELS];
    for (y, target) in target.chunks_exact_mut(width * CHANNELS).enumerate() {
        for (pixel, taps) in target.chunks_exact_mut(CHANNELS).zip(&line.pixels) {
            let mut sum = line.half(simd);
            let mut place = y * pitch + taps.first * CHANNELS;
            for &weight in &taps.weights {
                let (bytes, _) = u8x16::from_slice(simd, &rgb[place..place + 16]).widen();
                sum += bytes.widening_mul(u16x8::splat(simd, weight)).0;
                place += CHANNELS;
            }
            let mut values = [0; 4];
            line.whole(sum).store_slice(&mut values);
            for (byte, value) in pixel.iter_mut().zip(values) {
                *byte = value as u8;
            }
        }
    }
    target
}
