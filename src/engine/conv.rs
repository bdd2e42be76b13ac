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
        let source = weights.get(&parameters.weight_name());
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
            bias: starts().map(|start| block(weights.get(&parameters.bias_name()), start)).collect(),
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
            store(block, &self.pooled_tile(input, block, 2 * y, 2 * x), pixel);
        }
    }

    fn plain_row(&self, input: &[f32], y: usize, block: usize, row: &mut [f32]) {
        for (i, pixels) in row.chunks_mut(PIXELS * self.filters).enumerate() {
            let tile = self.plain_tile(input, block, y, PIXELS * i);
            for (values, pixel) in tile.iter().zip(pixels.chunks_exact_mut(self.filters)) {
                store(block, values, pixel);
            }
        }
    }

    // The two tiles are not inlined: where their values are stored side by side, LLVM keeps them in SIMD registers;
    // inlined into what takes them one by one it does not, on wasm.

    /// The maximum of the window whose left upper corner is `(y, x)`. Bias and ReLU keep the order of values, so they
    /// may follow it.
    #[inline(never)]
    fn pooled_tile(&self, input: &[f32], block: usize, y: usize, x: usize) -> [f32; LANES] {
        let [a, b, c, d] = self.sums(input, block, [(y, x), (y, x + 1), (y + 1, x), (y + 1, x + 1)]);
        self.activate(block, larger(larger(a, b), larger(c, d)))
    }

    /// The pixels from `(y, x)` to the right. Beyond the right edge the last pixel is repeated.
    #[inline(never)]
    fn plain_tile(&self, input: &[f32], block: usize, y: usize, x: usize) -> [[f32; LANES]; PIXELS] {
        let last = self.width - self.kernel;
        let sums = self.sums(input, block, std::array::from_fn(|p| (y, last.min(x + p))));
        sums.map(|sums| self.activate(block, sums))
    }

    /// The sums of four output pixels `(row, column)` in one block of filters.
    #[inline(always)]
    fn sums(&self, input: &[f32], block: usize, pixels: [(usize, usize); PIXELS]) -> [[f32; LANES]; PIXELS] {
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

    #[inline(always)]
    fn activate(&self, block: usize, sums: [f32; LANES]) -> [f32; LANES] {
        let bias = &self.bias[block];
        let values = std::array::from_fn(|c| sums[c] + bias[c]);
        larger(values, [if self.relu { 0.0 } else { f32::NEG_INFINITY }; LANES])
    }
}

/// The larger of each pair. `f32::max` has rules for NaN that cost more than the rest of the layer.
#[inline(always)]
fn larger(a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
    std::array::from_fn(|c| if a[c] > b[c] { a[c] } else { b[c] })
}

/// Writes a block's channels of one pixel; the last block may have fewer than eight.
#[inline(always)]
fn store(block: usize, values: &[f32; LANES], pixel: &mut [f32]) {
    let channels = &mut pixel[block * LANES..];
    let count = channels.len().min(LANES);
    channels[..count].copy_from_slice(&values[..count]);
}
