use fearless_simd::prelude::*;

use crate::{
    filters::{Finish, load},
    picture::{Layout, Picture},
    piece,
};

/// Inputs that are added in one pass over the sums.
const INPUTS: usize = 4;

/// A matrix product, bias and activation. What takes the time is reading the weights, so those that meet a zero, which a
/// ReLU before it makes of many inputs, are not read.
pub(crate) struct Dense {
    /// `[inputs, depth]`
    weights: Vec<f32>,
    finish: Finish,
}

impl Dense {
    /// `weights` are `[inputs, units]`.
    pub(crate) fn new(weights: Vec<f32>, finish: Finish, output: &Layout) -> Self {
        let (units, depth) = (output.channels, output.depth);
        let weights = if depth == units {
            weights
        } else {
            let zeros = depth - units;
            let rows = weights.chunks_exact(units);
            rows.flat_map(|row| row.iter().copied().chain(std::iter::repeat_n(0.0, zeros))).collect()
        };
        Self { weights, finish }
    }

    pub(crate) fn forward<S: Simd>(&self, simd: S, input: &Picture, output: &mut Picture) {
        let sums = &mut output.values[..output.layout.depth];
        sums.fill(0.0);
        let row = input.layout.width * input.layout.channels * sums.len();
        for (inputs, weights) in input.rows().zip(self.weights.chunks_exact(row)) {
            // A picture is read as a vector, without the channels that fill it up.
            let inputs = inputs.chunks_exact(input.layout.depth).flat_map(|pixel| &pixel[..input.layout.channels]);
            piece(
                simd,
                #[inline(always)]
                || add_products(simd, sums, inputs, weights),
            );
        }
        for (i, values) in sums.chunks_exact_mut(S::f32s::LEN).enumerate() {
            let sum = S::f32s::from_slice(simd, values) + self.finish.bias(simd, i * S::f32s::LEN);
            self.finish.activate(simd, sum).store_slice(values);
        }
    }
}

impl Dense {
    /// The derivative by each input, from that by each unit of `output`.
    pub(crate) fn gradient(&self, output: &Picture, mut gradient: Vec<f32>) -> Vec<f32> {
        let [low, high] = self.finish.range();
        for (gradient, &value) in gradient.iter_mut().zip(&output.values) {
            // Where the activation is flat, nothing comes through.
            if value <= low || value >= high {
                *gradient = 0.0;
            }
        }
        let rows = self.weights.chunks_exact(output.layout.depth);
        rows.map(|row| row.iter().zip(&gradient).map(|(weight, gradient)| weight * gradient).sum()).collect()
    }
}

/// Adds the product of inputs and weights, `[inputs, sums]`.
#[inline(always)]
fn add_products<'a, S: Simd>(simd: S, sums: &mut [f32], inputs: impl Iterator<Item = &'a f32>, weights: &[f32]) {
    let mut pending = [(0.0, &weights[..sums.len()]); INPUTS];
    let mut count = 0;
    for (&value, row) in inputs.zip(weights.chunks_exact(sums.len())) {
        if value != 0.0 {
            pending[count] = (value, row);
            count += 1;
            if count == INPUTS {
                add_rows(simd, sums, pending);
                count = 0;
            }
        }
    }
    for entry in &mut pending[count..] {
        entry.0 = 0.0;
    }
    add_rows(simd, sums, pending);
}

/// Adds rows of weights, each times its input, to the sums.
#[inline(always)]
fn add_rows<S: Simd>(simd: S, sums: &mut [f32], rows: [(f32, &[f32]); INPUTS]) {
    let [(a, wa), (b, wb), (c, wc), (d, wd)] = rows;
    for (i, sums) in sums.chunks_exact_mut(S::f32s::LEN).enumerate() {
        let at = i * S::f32s::LEN;
        let sum = (load(simd, wa, at) * a + load(simd, wb, at) * b) + (load(simd, wc, at) * c + load(simd, wd, at) * d);
        (S::f32s::from_slice(simd, sums) + sum).store_slice(sums);
    }
}
