use fearless_simd::prelude::*;

use crate::{
    filters::{Filters, Finish, ROWS, VECTORS, accumulate, largest, zeros},
    picture::{Layout, Picture},
    piece,
};

/// Tiles that are computed with one block of filters before the next block comes: their input stays in the first-level
/// cache meanwhile.
const BAND: usize = 16;

/// A direct convolution of any window, with bias, activation and 2x2 max pool: products of the window's rows, each of
/// which lies in one piece, its pixels' channels one after the other. With a window of one pixel it is a plain product.
pub(crate) struct Conv {
    pub(crate) filters: Filters,
    pub(crate) finish: Finish,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) pool: bool,
}

/// Where a tile reads and writes.
#[derive(Clone, Copy, Default)]
struct Tile {
    /// Where the four windows start: with a pool, those of its window; without, of four pixels one after the other.
    /// After the last pixel it is repeated.
    inputs: [usize; ROWS],
    /// With a pool, only the first is written.
    outputs: [usize; ROWS],
}

impl Conv {
    pub(crate) fn forward<S: Simd>(&self, simd: S, input: &Picture, output: &mut Picture) {
        let (from, to) = (input.layout, output.layout);
        let pixels = to.height * to.width;
        let tiles = if self.pool { pixels } else { pixels.div_ceil(ROWS) };
        let mut band = [Tile::default(); BAND];
        for first in (0..tiles).step_by(BAND) {
            let band = &mut band[..BAND.min(tiles - first)];
            for (i, tile) in band.iter_mut().enumerate() {
                *tile = self.tile(&from, &to, first + i);
            }
            piece(
                simd,
                #[inline(always)]
                || self.band(simd, band, input, output),
            );
        }
    }

    #[inline(always)]
    fn band<S: Simd>(&self, simd: S, band: &[Tile], input: &Picture, output: &mut Picture) {
        let (run, pitch) = (self.kernel * input.layout.depth, input.layout.pitch());
        for (filter, weights) in self.filters.blocks::<S>() {
            for tile in band {
                let mut sums = zeros(simd);
                for (y, weights) in weights.chunks_exact(run * VECTORS * S::f32s::LEN).enumerate() {
                    let row = |i: usize| &input.values[tile.inputs[i] + y * pitch..][..run];
                    accumulate(simd, &mut sums, [row(0), row(1), row(2), row(3)], weights);
                }
                if self.pool {
                    // Bias and activation keep the order of values, so they may follow the maximum.
                    let [a, b, c, d] = sums;
                    let largest = [largest::<S>(a[0], b[0], c[0], d[0]), largest::<S>(a[1], b[1], c[1], d[1])];
                    let values = self.finish.block(simd, filter, largest);
                    self.filters.store::<S>(filter, values, &mut output.values[tile.outputs[0]..]);
                } else {
                    for (sums, start) in sums.into_iter().zip(tile.outputs) {
                        let values = self.finish.block(simd, filter, sums);
                        self.filters.store::<S>(filter, values, &mut output.values[start..]);
                    }
                }
            }
        }
    }

    fn tile(&self, from: &Layout, to: &Layout, tile: usize) -> Tile {
        let window = |y, x| from.window(y * self.stride, x * self.stride);
        if self.pool {
            let (y, x) = (tile / to.width, tile % to.width);
            let inputs = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(dy, dx)| window(2 * y + dy, 2 * x + dx));
            Tile { inputs, outputs: [to.pixel(y, x); ROWS] }
        } else {
            let last = to.height * to.width - 1;
            let pixels: [_; ROWS] = std::array::from_fn(|i| last.min(tile * ROWS + i));
            let pixels = pixels.map(|pixel| (pixel / to.width, pixel % to.width));
            Tile { inputs: pixels.map(|(y, x)| window(y, x)), outputs: pixels.map(|(y, x)| to.pixel(y, x)) }
        }
    }
}
