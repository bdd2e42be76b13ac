//! The most multiplications and additions a second that one core does with the vectors that the engine uses, natively
//! and in WebAssembly.

use std::hint::black_box;

use fearless_simd::{Level, dispatch, prelude::*};

/// Vectors that are multiplied, in pairs: they stay in the first-level cache.
const VECTORS: usize = 64;
/// Sums that are added to in turn, so that none waits for its last addition. With four factors and two values they fill
/// the sixteen registers of WebAssembly on x86.
const SUMS: usize = 8;

/// Does about so many floating-point operations. The result keeps the compiler from leaving the work out.
// Never a part of its caller: what a browser has optimised is run from the next call on.
#[inline(never)]
pub fn multiply_add(operations: f64) -> f32 {
    dispatch!(Level::new(), simd => run(simd, operations))
}

#[inline(always)]
fn run<S: Simd>(simd: S, operations: f64) -> f32 {
    // Not known to the compiler, so that it can't multiply beforehand.
    let [p, q, r, s] = black_box([0.5, 0.25, 0.125, 0.0625]);
    let p = S::f32s::simd_from(simd, p);
    let q = S::f32s::simd_from(simd, q);
    let r = S::f32s::simd_from(simd, r);
    let s = S::f32s::simd_from(simd, s);
    let values = black_box([S::f32s::simd_from(simd, 1e-6); VECTORS]);
    let zero = S::f32s::simd_from(simd, 0.0);
    let [mut a0, mut a1, mut a2, mut a3, mut b0, mut b1, mut b2, mut b3] = [zero; SUMS];
    // Each pair of vectors meets every sum: a product and an addition for each of their values.
    let pass = VECTORS / 2 * SUMS * S::f32s::LEN * 2;
    for _ in 0..(operations / pass as f64).ceil() as usize {
        for &[a, b] in values.as_chunks().0 {
            a0 = a.mul_add(p, a0);
            a1 = a.mul_add(q, a1);
            a2 = a.mul_add(r, a2);
            a3 = a.mul_add(s, a3);
            b0 = b.mul_add(p, b0);
            b1 = b.mul_add(q, b1);
            b2 = b.mul_add(r, b2);
            b3 = b.mul_add(s, b3);
        }
    }
    (((a0 + a1) + (a2 + a3)) + ((b0 + b1) + (b2 + b3))).reduce_sum()
}
