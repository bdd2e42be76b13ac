//! The one inner loop, a matrix product in registers, and what happens to its sums.
//!
//! ```text
//!                  filters of a block: 2 vectors
//!                  ┌────────┬────────┐
//!                  │   w0   │   w1   │
//!                  └────────┴────────┘
//!   4 rows    a ×  ┌────────┬────────┐
//!   of input  b ×  │  4 x 2 vectors  │
//!             c ×  │  of sums        │
//!             d ×  └────────┴────────┘
//! ```
//!
//! Each step loads two vectors of weights and one value of each row, and does eight multiply-adds: 8 sums, 2 weights and
//! a value fit the 16 registers of SSE, AVX2 and WebAssembly on x86. Larger tiles spill there and run at half the rate;
//! smaller ones wait for memory.
//!
//! Two things keep vectors in registers. Channels in memory are filled up to whole vectors, so that no kernel has a
//! remainder. And kernels are plain loops: what the standard library calls for us, such as the closure of
//! `array::from_fn`, is compiled for the oldest processor.

use fearless_simd::prelude::*;

use crate::picture::Layout;
use crate::step::Activation;

/// Rows of input in a tile: pixels, or Winograd tiles.
pub(crate) const ROWS: usize = 4;
/// Vectors of filters in a tile.
pub(crate) const VECTORS: usize = 2;

/// The sums of a tile.
pub(crate) type Sums<S> = [[<S as Simd>::f32s; VECTORS]; ROWS];

/// A matrix of weights, packed for the inner loop.
pub(crate) struct Filters {
    /// Input values of one sum.
    depth: usize,
    /// Sums, filled up to whole vectors.
    count: usize,
    /// `[blocks, depth, block]`, where a block is [`VECTORS`] vectors of filters. What is missing in the last is zero.
    weights: Vec<f32>,
}

impl Filters {
    /// Packs `weights`, `[pixels, input.channels, filters]`, for `output`.
    pub(crate) fn new(lanes: usize, weights: &[f32], input: &Layout, output: &Layout) -> Self {
        let (filters, block) = (output.channels, VECTORS * lanes);
        let pixels = weights.len() / (input.channels * filters);
        let depth = pixels * input.depth;
        let mut packed = vec![0.0; filters.div_ceil(block) * depth * block];
        for (i, row) in weights.chunks_exact(filters).enumerate() {
            let (pixel, channel) = (i / input.channels, i % input.channels);
            for (j, values) in row.chunks(block).enumerate() {
                let start = (j * depth + pixel * input.depth + channel) * block;
                packed[start..start + values.len()].copy_from_slice(values);
            }
        }
        Self { depth, count: output.depth, weights: packed }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// First filter and weights of each block.
    pub(crate) fn blocks<S: Simd>(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let block = VECTORS * S::f32s::LEN;
        self.weights.chunks_exact(self.depth * block).enumerate().map(move |(i, weights)| (i * block, weights))
    }

    /// Writes the values of the block that starts at filter `first` into its place in `pixel`.
    #[inline(always)]
    pub(crate) fn store<S: Simd>(&self, first: usize, [a, b]: [S::f32s; VECTORS], pixel: &mut [f32]) {
        let (target, rest) = pixel[first..self.count].split_at_mut(S::f32s::LEN);
        a.store_slice(target);
        // No loop: it is compiled to a copy of any length, for which V8 calls out of WebAssembly.
        if let Some(target) = rest.get_mut(..S::f32s::LEN) {
            b.store_slice(target);
        }
    }
}

/// What follows the sums.
pub(crate) struct Finish {
    /// Filled up with zeros to whole blocks.
    bias: Vec<f32>,
    /// What the activation limits values to.
    range: [f32; 2],
}

impl Finish {
    pub(crate) fn new(lanes: usize, mut bias: Vec<f32>, activation: Activation) -> Self {
        bias.resize(bias.len().next_multiple_of(VECTORS * lanes), 0.0);
        let range = match activation {
            Activation::Linear => [f32::NEG_INFINITY, f32::INFINITY],
            Activation::Relu => [0.0, f32::INFINITY],
            Activation::Relu6 => [0.0, 6.0],
        };
        Self { bias, range }
    }

    /// What the activation limits values to.
    pub(crate) fn range(&self) -> [f32; 2] {
        self.range
    }

    /// The bias of the vector of filters that starts at `first`.
    #[inline(always)]
    pub(crate) fn bias<S: Simd>(&self, simd: S, first: usize) -> S::f32s {
        load(simd, &self.bias, first)
    }

    /// The activation of a sum with its bias. NaN stays NaN.
    #[inline(always)]
    pub(crate) fn activate<S: Simd>(&self, simd: S, sum: S::f32s) -> S::f32s {
        let [low, high] = self.range;
        let value = larger(sum, S::f32s::simd_from(simd, low));
        let high = S::f32s::simd_from(simd, high);
        value.simd_gt(high).select(high, value)
    }

    /// Bias and activation for a block of filters.
    #[inline(always)]
    pub(crate) fn block<S: Simd>(&self, simd: S, first: usize, [a, b]: [S::f32s; VECTORS]) -> [S::f32s; VECTORS] {
        [
            self.activate(simd, a + self.bias(simd, first)),
            self.activate(simd, b + self.bias(simd, first + S::f32s::LEN)),
        ]
    }
}

/// `sums += rows * weights`, where weights are `[depth, block]` and each row has `depth` values.
#[inline(always)]
pub(crate) fn accumulate<S: Simd>(simd: S, sums: &mut Sums<S>, rows: [&[f32]; ROWS], weights: &[f32]) {
    let [a, b, c, d] = rows;
    for ((((weights, a), b), c), d) in weights.chunks_exact(VECTORS * S::f32s::LEN).zip(a).zip(b).zip(c).zip(d) {
        let weights = [load(simd, weights, 0), load(simd, weights, S::f32s::LEN)];
        for (sums, &value) in sums.iter_mut().zip([a, b, c, d]) {
            let value = S::f32s::simd_from(simd, value);
            for (sum, weight) in sums.iter_mut().zip(weights) {
                *sum = value.mul_add(weight, *sum);
            }
        }
    }
}

/// A tile of zeros.
#[inline(always)]
pub(crate) fn zeros<S: Simd>(simd: S) -> Sums<S> {
    [[S::f32s::simd_from(simd, 0.0); VECTORS]; ROWS]
}

/// The largest of four, NaN where one of them is.
#[inline(always)]
pub(crate) fn largest<S: Simd>(a: S::f32s, b: S::f32s, c: S::f32s, d: S::f32s) -> S::f32s {
    let sum = (a + b) + (c + d);
    // Comparisons lose a NaN; the product is zero otherwise.
    larger(larger(a, b), larger(c, d)) + sum * 0.0
}

/// The larger of each pair; `a` where one is NaN.
#[inline(always)]
fn larger<S: Simd, V: SimdFloat<S>>(a: V, b: V) -> V {
    a.simd_lt(b).select(b, a)
}

/// The vector that starts at `values[start]`.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, values: &[f32], start: usize) -> S::f32s {
    S::f32s::from_slice(simd, &values[start..start + S::f32s::LEN])
}
