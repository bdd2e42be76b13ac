use std::hint::black_box;

use fearless_simd::prelude::*;

use crate::step::Window;
use crate::{
    filters::{Finish, load},
    picture::{Layout, Picture},
    piece,
};

/// Neighbouring pixels that are computed together, so that a weight is loaded once for them.
const PIXELS: usize = 4;

/// A convolution of each channel by itself, with bias and activation.
pub(crate) struct Depthwise {
    window: Window,
    /// `[blocks, kernel, kernel, lanes]`, where a block is a vector of channels. What is missing in the last is zero.
    weights: Vec<f32>,
    finish: Finish,
}

impl Depthwise {
    /// `weights` are `[kernel, kernel, channels]`.
    pub(crate) fn new(lanes: usize, window: Window, weights: &[f32], finish: Finish, output: &Layout) -> Self {
        let mut packed = vec![0.0; window.kernel * window.kernel * output.depth];
        for (i, pixel) in weights.chunks_exact(output.channels).enumerate() {
            for (block, values) in pixel.chunks(lanes).enumerate() {
                let start = (block * window.kernel * window.kernel + i) * lanes;
                packed[start..start + values.len()].copy_from_slice(values);
            }
        }
        Self { window, weights: packed, finish }
    }

    pub(crate) fn forward<S: Simd>(&self, simd: S, input: &Picture, output: &mut Picture) {
        // Constants let the compiler unroll the loops over a window. Of a single pixel the stride is none.
        match (self.window.kernel, self.window.stride, output.layout.width < PIXELS) {
            (3, 1, false) => self.rows::<S, 3, 1, PIXELS>(simd, input, output),
            (3, 2, false) => self.rows::<S, 3, 2, PIXELS>(simd, input, output),
            (5, 1, false) => self.rows::<S, 5, 1, PIXELS>(simd, input, output),
            (5, 2, false) => self.rows::<S, 5, 2, PIXELS>(simd, input, output),
            (3, _, true) => self.rows::<S, 3, 1, 1>(simd, input, output),
            (5, _, true) => self.rows::<S, 5, 1, 1>(simd, input, output),
            _ => unreachable!("the spec lets no other window through"),
        }
    }

    fn rows<S: Simd, const KERNEL: usize, const STRIDE: usize, const N: usize>(
        &self,
        simd: S,
        input: &Picture,
        output: &mut Picture,
    ) {
        for y in 0..output.layout.height {
            piece(
                simd,
                #[inline(always)]
                || self.row::<S, KERNEL, STRIDE, N>(simd, y, input, output),
            );
        }
    }

    /// A row of at least `N` pixels.
    #[inline(always)]
    fn row<S: Simd, const KERNEL: usize, const STRIDE: usize, const N: usize>(
        &self,
        simd: S,
        y: usize,
        input: &Picture,
        output: &mut Picture,
    ) {
        let Layout { width, depth, .. } = output.layout;
        let (stride, pitch) = (self.window.stride, input.layout.pitch());
        for x in (0..width).step_by(N) {
            // The last tile lies over the one before: to compute pixels twice is faster than one by one.
            let x = x.min(width - N);
            let windows = &input.values[input.layout.window(y * stride, x * stride)..];
            let pixels = &mut output.values[output.layout.pixel(y, x)..][..N * depth];
            self.tile::<S, KERNEL, STRIDE, N>(simd, windows, pitch, pixels);
        }
    }

    /// `N` pixels side by side, whose first window is the start of `windows`. Each value is loaded once, for all the
    /// windows that it lies in.
    #[inline(always)]
    fn tile<S: Simd, const KERNEL: usize, const STRIDE: usize, const N: usize>(
        &self,
        simd: S,
        windows: &[f32],
        pitch: usize,
        pixels: &mut [f32],
    ) {
        let depth = pixels.len() / N;
        // Of a row, the values of one vector of channels in all the windows. Cut once, they are not checked one by one.
        let reach = ((N - 1) * STRIDE + KERNEL - 1) * depth + S::f32s::LEN;
        // A number that the compiler doesn't know: unrolled, the values of all rows at once would not fit the registers.
        let rows = black_box(KERNEL);
        for channel in (0..depth).step_by(S::f32s::LEN) {
            let mut sums = [self.finish.bias(simd, channel); N];
            for y in 0..rows {
                let weights = &self.weights[(channel * KERNEL + y * S::f32s::LEN) * KERNEL..][..KERNEL * S::f32s::LEN];
                let row = &windows[y * pitch + channel..][..reach];
                let mut kernel = [sums[0]; KERNEL];
                for (x, weight) in kernel.iter_mut().enumerate() {
                    *weight = load(simd, weights, x * S::f32s::LEN);
                }
                for x in 0..(N - 1) * STRIDE + KERNEL {
                    let value = load(simd, row, x * depth);
                    for (i, sum) in sums.iter_mut().enumerate() {
                        if (i * STRIDE..i * STRIDE + KERNEL).contains(&x) {
                            *sum = value.mul_add(kernel[x - i * STRIDE], *sum);
                        }
                    }
                }
            }
            for (i, sum) in sums.into_iter().enumerate() {
                let target = &mut pixels[i * depth + channel..][..S::f32s::LEN];
                self.finish.activate(simd, sum).store_slice(target);
            }
        }
    }
}
