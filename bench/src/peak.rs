//! The most multiplications and additions a second that this machine does in plain SIMD.

/// Floating-point operations of one iteration of [`multiply_add`].
pub const OPERATIONS: usize = 2 * SUMS * LANES;

/// Independent sums: enough to hide the latency of an addition, few enough for sixteen registers.
const SUMS: usize = 8;
/// Values in a register of WebAssembly and SSE2.
const LANES: usize = 4;
/// Vectors that are multiplied, one after the other: they stay in the first-level cache.
const VECTORS: usize = 64;

/// Adds products to sums in registers, as often as told; the result keeps the compiler from leaving the work out.
#[inline(never)]
pub fn multiply_add(iterations: usize) -> f32 {
    // Not known to the compiler, so that it can't multiply beforehand.
    let factors: [[f32; LANES]; SUMS / 2] = std::hint::black_box([[0.5, 0.25, 0.125, 0.0625]; SUMS / 2]);
    let values = std::hint::black_box([[1e-6_f32; LANES]; 2 * VECTORS]);
    let mut sums = [[0.0_f32; LANES]; SUMS];
    for _ in 0..iterations / VECTORS {
        for pair in values.chunks_exact(2) {
            for (sums, value) in sums.chunks_exact_mut(SUMS / 2).zip(pair) {
                for (sum, factor) in sums.iter_mut().zip(&factors) {
                    for ((sum, value), factor) in sum.iter_mut().zip(value).zip(factor) {
                        *sum += value * factor;
                    }
                }
            }
        }
    }
    sums.iter().flatten().sum()
}
