//! The most multiplications and additions a second that this machine does in WebAssembly's SIMD.

use std::{arch::wasm32::*, hint::black_box};

/// Floating-point operations of one iteration of [`multiply_add`]: eight products of four values, each added to a sum.
pub const OPERATIONS: usize = 2 * 8 * 4;

/// Vectors that are multiplied, in pairs: they stay in the first-level cache.
const VECTORS: usize = 64;

/// Adds products to eight sums, as often as told. Eight independent sums hide the latency of an addition; with four
/// factors and two values they fill the sixteen registers. The result keeps the compiler from leaving the work out.
#[inline(never)]
pub fn multiply_add(iterations: usize) -> f32 {
    // Not known to the compiler, so that it can't multiply beforehand.
    let [f0, f1, f2, f3] = black_box([0.5, 0.25, 0.125, 0.0625]).map(|factor| f32x4_splat(factor));
    let values = black_box([f32x4_splat(1e-6); VECTORS]);
    let [mut a0, mut a1, mut a2, mut a3, mut b0, mut b1, mut b2, mut b3] = [f32x4_splat(0.0); 8];
    for _ in 0..iterations / (VECTORS / 2) {
        for &[a, b] in values.as_chunks().0 {
            a0 = f32x4_add(a0, f32x4_mul(a, f0));
            a1 = f32x4_add(a1, f32x4_mul(a, f1));
            a2 = f32x4_add(a2, f32x4_mul(a, f2));
            a3 = f32x4_add(a3, f32x4_mul(a, f3));
            b0 = f32x4_add(b0, f32x4_mul(b, f0));
            b1 = f32x4_add(b1, f32x4_mul(b, f1));
            b2 = f32x4_add(b2, f32x4_mul(b, f2));
            b3 = f32x4_add(b3, f32x4_mul(b, f3));
        }
    }
    let sums = [a1, a2, a3, b0, b1, b2, b3].into_iter().fold(a0, |sum, part| f32x4_add(sum, part));
    f32x4_extract_lane::<0>(sums)
        + f32x4_extract_lane::<1>(sums)
        + f32x4_extract_lane::<2>(sums)
        + f32x4_extract_lane::<3>(sums)
}
