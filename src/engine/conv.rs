use super::LANES;
use crate::{Weights, spec::Parameters};

/// Pixels that are computed together: with a max pool, its 2x2 window; without, four neighbours of a row. Four pixels
/// by eight channels is what the registers of SSE2 and of WebAssembly hold; larger tiles spill and run at half the rate.
const PIXELS: usize = 4;

/// Convolution (stride 1, no padding), bias, optional ReLU and optional 2x2 max pool in one pass.
pub(super) struct Conv {
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    filters: usize,
    relu: bool,
    pool: bool,
    /// `[filters / 8][kernel * kernel * channels][8]`; the filters that are missing in the last block are zero.
    weights: Vec<[f32; LANES]>,
    /// `[filters / 8][8]`.
    bias: Vec<[f32; LANES]>,
}

impl Conv {
    pub(super) fn new(
        height: usize,
        width: usize,
        parameters: &Parameters,
        weights: &Weights,
        relu: bool,
        pool: bool,
    ) -> Self {
        let [kernel, _, channels, filters] = parameters.shape[..] else {
            unreachable!("the spec gives a convolution four dimensions")
        };
        let block = |row: &[f32], start: usize| {
            let mut block = [0.0; LANES];
            let end = filters.min(start + LANES);
            block[..end - start].copy_from_slice(&row[start..end]);
            block
        };
        let source = weights.get(&parameters.weight());
        let starts = || (0..filters).step_by(LANES);
        Self {
            height,
            width,
            channels,
            kernel,
            filters,
            relu,
            pool,
            weights: starts()
                .flat_map(|start| source.chunks_exact(filters).map(move |row| block(row, start)))
                .collect(),
            bias: starts().map(|start| block(weights.get(&parameters.bias()), start)).collect(),
        }
    }

    /// `[height, width, channels]` to `[height', width', filters]`.
    pub(super) fn forward(&self, input: &[f32]) -> Vec<f32> {
        assert_eq!(input.len(), self.height * self.width * self.channels, "input of a convolution");
        let (rows, columns) = (self.height + 1 - self.kernel, self.width + 1 - self.kernel);
        let (rows, columns) = if self.pool { (rows / 2, columns / 2) } else { (rows, columns) };
        let mut output = vec![0.0; rows * columns * self.filters];
        for (y, row) in output.chunks_exact_mut(columns * self.filters).enumerate() {
            // One block's weights stay in the first-level cache while they pass over the row.
            for block in 0..self.bias.len() {
                if self.pool {
                    self.pooled_row(input, y, block, row);
                } else {
                    self.plain_row(input, y, block, row);
                }
            }
        }
        output
    }

    fn pooled_row(&self, input: &[f32], y: usize, block: usize, row: &mut [f32]) {
        for (x, pixel) in row.chunks_exact_mut(self.filters).enumerate() {
            let (y, x) = (2 * y, 2 * x);
            let window = self.tile(input, block, [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)]);
            // Bias and ReLU keep the order of values, so the maximum may come first.
            let max = |c: usize| window[0][c].max(window[1][c]).max(window[2][c].max(window[3][c]));
            self.store(block, std::array::from_fn(max), pixel);
        }
    }

    fn plain_row(&self, input: &[f32], y: usize, block: usize, row: &mut [f32]) {
        let last = row.len() / self.filters - 1;
        for (i, pixels) in row.chunks_mut(PIXELS * self.filters).enumerate() {
            // At the right edge the last pixel is computed more than once, and stored once.
            let sums = self.tile(input, block, std::array::from_fn(|p| (y, last.min(PIXELS * i + p))));
            for (sum, pixel) in sums.into_iter().zip(pixels.chunks_exact_mut(self.filters)) {
                self.store(block, sum, pixel);
            }
        }
    }

    /// The sums of four output pixels `(row, column)` in one block of filters. Not inlined: where the sums are stored
    /// side by side LLVM keeps them in SIMD registers; inlined into what uses them one by one, it does not (in wasm).
    #[inline(never)]
    fn tile(&self, input: &[f32], block: usize, pixels: [(usize, usize); PIXELS]) -> [[f32; LANES]; PIXELS] {
        // A row of the window lies in one piece, its pixels' channels one after the other.
        let (run, stride) = (self.kernel * self.channels, self.width * self.channels);
        let starts = pixels.map(|(y, x)| y * stride + x * self.channels);
        let mut sums = [[0.0; LANES]; PIXELS];
        let weights = &self.weights[block * self.kernel * run..][..self.kernel * run];
        for (ky, weights) in weights.chunks_exact(run).enumerate() {
            let [a, b, c, d] = starts.map(|start| &input[start + ky * stride..][..run]);
            for ((((w, a), b), c), d) in weights.iter().zip(a).zip(b).zip(c).zip(d) {
                for (sums, value) in sums.iter_mut().zip([a, b, c, d]) {
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum += value * w;
                    }
                }
            }
        }
        sums
    }

    /// Adds the bias, applies the ReLU and writes a block's channels of one pixel.
    #[inline(always)]
    fn store(&self, block: usize, sums: [f32; LANES], pixel: &mut [f32]) {
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let bias = &self.bias[block];
        let values: [f32; LANES] = std::array::from_fn(|c| (sums[c] + bias[c]).max(floor));
        let channels = &mut pixel[block * LANES..];
        let count = channels.len().min(LANES);
        channels[..count].copy_from_slice(&values[..count]);
    }
}
