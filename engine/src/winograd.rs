//! Winograd's convolution F(4x4, 3x3) (Lavin and Gray 2015): 36 products instead of 144 for 16 pixels.
//!
//! ```text
//!  6x6 of the picture ─ Bᵀ d B ─┐
//!                               ├─ for each of the 36 places: tiles x channels times channels x filters ─ Aᵀ m A ─ 4x4 pixels
//!  3x3 of the weights ─ G g Gᵀ ─┘   (once, at load)
//! ```
//!
//! The interpolation points are 0, ±1, ±2 and infinity. What it costs in precision is in `tests/engine_parity.rs`.

use fearless_simd::prelude::*;

use crate::step::Window;
use crate::{
    filters::{Filters, Finish, ROWS, accumulate, largest, load, zeros},
    picture::{Buffers, Layout, Margins, Picture},
    piece,
};

/// Side of the picture's part that a tile reads.
const INPUT: usize = 6;
/// Side of the part that it writes.
const OUTPUT: usize = 4;
/// Places of a transformed tile, column by column.
const PLACES: usize = INPUT * INPUT;
/// Side of the window.
const KERNEL: usize = 3;
/// Tiles that are computed together, about: more, and what lies between the transforms leaves the second-level cache;
/// fewer, and the weights come from there too often.
const TILES: usize = 24;
/// Input channels from which on the transforms cost less than the products they save.
const CHANNELS: usize = 16;

pub(crate) struct Winograd {
    /// The transformed weights of each place.
    places: Vec<Filters>,
    finish: Finish,
    pool: bool,
}

impl Winograd {
    /// Whether it can take the place of a direct convolution, and be faster.
    pub(crate) fn fits(window: Window, channels: usize) -> bool {
        window.kernel == KERNEL && window.stride == 1 && channels >= CHANNELS
    }

    /// The margins for whole tiles.
    pub(crate) fn margins(window: Window, height: usize, width: usize) -> Margins {
        let side = |length: usize| {
            let [before, after] = window.margins(length);
            let sums = before + length + after + 1 - KERNEL;
            [before, after + sums.next_multiple_of(OUTPUT) - sums]
        };
        Margins { rows: side(height), columns: side(width) }
    }

    /// Transforms `weights`, `[3, 3, channels, filters]`.
    pub(crate) fn new(
        lanes: usize,
        weights: &[f32],
        finish: Finish,
        pool: bool,
        input: &Layout,
        output: &Layout,
    ) -> Self {
        let matrices = weights.len() / (KERNEL * KERNEL);
        let mut places = vec![vec![0.0; matrices]; PLACES];
        for i in 0..matrices {
            let g: [[f32; KERNEL]; KERNEL] =
                std::array::from_fn(|y| std::array::from_fn(|x| weights[(y * KERNEL + x) * matrices + i]));
            let columns: [[f32; INPUT]; KERNEL] =
                std::array::from_fn(|x| transform_weights(std::array::from_fn(|y| g[y][x])));
            for y in 0..INPUT {
                let row = transform_weights(std::array::from_fn(|x| columns[x][y]));
                for (x, value) in row.into_iter().enumerate() {
                    places[x * INPUT + y][i] = value;
                }
            }
        }
        Self { places: places.iter().map(|place| Filters::new(lanes, place, input, output)).collect(), finish, pool }
    }

    pub(crate) fn forward<S: Simd>(&self, simd: S, input: &Picture, output: &mut Picture, buffers: &mut Buffers) {
        let (from, to) = (input.layout, output.layout);
        let side = if self.pool { OUTPUT / 2 } else { OUTPUT };
        let (down, across) = (to.height.div_ceil(side), to.width.div_ceil(side));
        let rows = TILES.div_ceil(across).min(down);
        let mut inputs = buffers.take(PLACES * rows * across * from.depth);
        let mut sums = buffers.take(PLACES * rows * across * to.depth);
        for top in (0..down).step_by(rows) {
            let tiles = rows.min(down - top) * across;
            piece(
                simd,
                #[inline(always)]
                || {
                    for tile in 0..tiles {
                        let start = from.window((top + tile / across) * OUTPUT, tile % across * OUTPUT);
                        transform_tile(simd, &input.values[start..], &from, &mut inputs, tile, tiles);
                    }
                },
            );
            let places = inputs.chunks_exact(tiles * from.depth).zip(&self.places).enumerate();
            for (place, (inputs, filters)) in places {
                piece(
                    simd,
                    #[inline(always)]
                    || multiply(simd, filters, inputs, place, &mut sums),
                );
            }
            piece(
                simd,
                #[inline(always)]
                || {
                    for (tile, sums) in sums.chunks_exact(PLACES * to.depth).take(tiles).enumerate() {
                        let corner = ((top + tile / across) * side, tile % across * side);
                        self.untransform_tile(simd, sums, output, corner);
                    }
                },
            );
        }
        buffers.give_back(inputs);
        buffers.give_back(sums);
    }

    /// The sums of a tile, `[vectors of filters, places, filters]`, become a tile of `output` at `(top, left)`.
    #[inline(always)]
    fn untransform_tile<S: Simd>(&self, simd: S, sums: &[f32], output: &mut Picture, (top, left): (usize, usize)) {
        let to = output.layout;
        let zero = S::f32s::simd_from(simd, 0.0);
        for (i, sums) in sums.chunks_exact(PLACES * S::f32s::LEN).enumerate() {
            let filter = i * S::f32s::LEN;
            let mut columns = [[zero; OUTPUT]; INPUT];
            for (x, column) in columns.iter_mut().enumerate() {
                let mut values = [zero; INPUT];
                for (y, value) in values.iter_mut().enumerate() {
                    *value = load(simd, sums, (x * INPUT + y) * S::f32s::LEN);
                }
                *column = untransform(values);
            }
            let mut rows = [[zero; OUTPUT]; OUTPUT];
            for (y, row) in rows.iter_mut().enumerate() {
                let mut values = [zero; INPUT];
                for (value, column) in values.iter_mut().zip(&columns) {
                    *value = column[y];
                }
                *row = untransform(values);
            }
            let mut side = OUTPUT;
            if self.pool {
                side = OUTPUT / 2;
                for y in 0..side {
                    for x in 0..side {
                        let (upper, lower) = (rows[2 * y], rows[2 * y + 1]);
                        rows[y][x] = largest::<S>(upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]);
                    }
                }
            }
            let bias = self.finish.bias(simd, filter);
            for (y, row) in rows[..side.min(to.height - top)].iter().enumerate() {
                for (x, &value) in row[..side.min(to.width - left)].iter().enumerate() {
                    let target = &mut output.values[to.pixel(top + y, left + x) + filter..][..S::f32s::LEN];
                    self.finish.activate(simd, value + bias).store_slice(target);
                }
            }
        }
    }
}

/// The tile whose left upper corner is the first value of `input` becomes pixel `tile` of each of the 36 pictures in
/// `target`, which have `tiles` pixels.
// Slices are cut by `chunks`: of pieces of one length the compiler checks one.
#[inline(always)]
fn transform_tile<S: Simd>(simd: S, input: &[f32], from: &Layout, target: &mut [f32], tile: usize, tiles: usize) {
    let zero = S::f32s::simd_from(simd, 0.0);
    let place = tiles * from.depth;
    for channel in (0..from.depth).step_by(S::f32s::LEN) {
        let mut rows = [[zero; INPUT]; INPUT];
        for (row, input) in rows.iter_mut().zip(input.chunks(from.pitch())) {
            for (value, pixel) in row.iter_mut().zip(input.chunks_exact(from.depth)) {
                *value = load(simd, pixel, channel);
            }
            *row = transform(*row);
        }
        for (x, target) in (0..INPUT).zip(target.chunks_exact_mut(INPUT * place)) {
            let mut column = [zero; INPUT];
            for (value, row) in column.iter_mut().zip(&rows) {
                *value = row[x];
            }
            for (values, target) in transform(column).into_iter().zip(target.chunks_exact_mut(place)) {
                values.store_slice(&mut target[tile * from.depth + channel..][..S::f32s::LEN]);
            }
        }
    }
}

/// `inputs [tiles, channels] * filters`, into their `place` of `sums`, `[tiles, vectors of filters, places, filters]`.
#[inline(always)]
fn multiply<S: Simd>(simd: S, filters: &Filters, inputs: &[f32], place: usize, sums: &mut [f32]) {
    let channels = filters.depth();
    let last = inputs.len() / channels - 1;
    for (filter, weights) in filters.blocks::<S>() {
        for first in (0..=last).step_by(ROWS) {
            // After the last tile it is repeated.
            let rows = [first, last.min(first + 1), last.min(first + 2), last.min(first + 3)];
            let row = |i: usize| &inputs[rows[i] * channels..][..channels];
            let mut tile = zeros(simd);
            accumulate(simd, &mut tile, [row(0), row(1), row(2), row(3)], weights);
            for ([a, b], row) in tile.into_iter().zip(rows) {
                let sums = &mut sums[(row * filters.count() + filter) * PLACES + place * S::f32s::LEN..];
                a.store_slice(&mut sums[..S::f32s::LEN]);
                if filter + S::f32s::LEN < filters.count() {
                    b.store_slice(&mut sums[PLACES * S::f32s::LEN..][..S::f32s::LEN]);
                }
            }
        }
    }
}

/// `G g`.
fn transform_weights([a, b, c]: [f32; KERNEL]) -> [f32; INPUT] {
    let (even, odd) = (a / 24.0 + c / 6.0, b / 12.0);
    [a / 4.0, -(a + b + c) / 6.0, -(a - b + c) / 6.0, even + odd, even - odd, c]
}

/// `Bᵀ d`.
#[inline(always)]
fn transform<S: Simd, V: SimdFloat<S, Element = f32>>([a, b, c, d, e, f]: [V; INPUT]) -> [V; INPUT] {
    let (p, q) = (e - c * 4.0, d - b * 4.0);
    let (r, s) = (e - c, (d - b) * 2.0);
    [a * 4.0 - c * 5.0 + e, p + q, p - q, r + s, r - s, b * 4.0 - d * 5.0 + f]
}

/// `Aᵀ m`.
#[inline(always)]
fn untransform<S: Simd, V: SimdFloat<S, Element = f32>>([a, b, c, d, e, f]: [V; INPUT]) -> [V; OUTPUT] {
    let (p, q, r, s) = (b + c, b - c, d + e, d - e);
    [a + p + r, q + s * 2.0, p + r * 4.0, q + s * 8.0 + f]
}
