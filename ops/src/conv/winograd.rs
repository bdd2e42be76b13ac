//! The 3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin and Gray 2016).
//!
//! ```text
//!  6x6 values, tiles           36 products              4x4 sums
//!  overlap by two
//!       ┌────────┐   BᵀdB   v [tiles, in]      Aᵀ m A    ┌──────┐
//!       │   d    │ ───────> x u [in, out]    ─────────>  │  y   │
//!       │        │          = m [tiles, out]             └──────┘
//!       └────────┘
//! ```
//!
//! A tile of 4x4 sums takes 36 multiplications a channel pair instead of 144, as 36 matrix products over many tiles. The
//! gradients are the exact transpose of each stage, with the same 36 products:
//! `dm = A dy Aᵀ`, `du = vᵀ dm`, `dv = dm uᵀ`, `dd = B dv Bᵀ`, `dweight = Gᵀ du G`.

use fearless_simd::{Level, dispatch as vectorize, prelude::*};

use super::{Band, Geometry, Scratch};
use crate::gemm::{Matrix, multiply};
use crate::simd::{Real, load, splat, store};

/// Sums a side of a tile, and values a side of what they depend on.
pub const SUMS: usize = 4;
const KERNEL: usize = 3;
const SIDE: usize = SUMS + KERNEL - 1;
const POINTS: usize = SIDE * SIDE;
/// Values of the transformed tiles that are worked on at a time: they stay in the second-level cache.
const BAND: usize = 1 << 18;

/// Channels and filters from which on the transforms cost less than the products they save.
const CHANNELS: usize = 16;

/// Whether this way is open, and faster.
pub fn serves(g: Geometry) -> bool {
    g.kernel == KERNEL && g.stride == 1 && g.channels >= CHANNELS && g.filters >= CHANNELS
}

/// Values from one point of all tiles to the next. A cache line more than they need: else a tile's points, whose distance
/// would be a large power of two, would push each other out of the cache.
fn plane(tiles: usize, channels: usize) -> usize {
    tiles * channels + 16
}

/// Rows of sums in a band.
pub fn band(g: Geometry) -> usize {
    (BAND / (POINTS * (g.channels + g.filters) * g.columns().div_ceil(SUMS))).max(1) * SUMS
}

/// The sums of a band; `x` starts with its first image, and `u` is the transformed weights.
pub fn sums<T: Real>(g: Geometry, band: Band, x: &[T], u: &[T], scratch: &mut Scratch<T>) {
    transform(g, band, x, &mut scratch.v);
    let tiles = band.tiles(g);
    let (plane_v, plane_m) = (plane(tiles, g.channels), plane(tiles, g.filters));
    scratch.m.resize(POINTS * plane_m, T::zero());
    let products = scratch.m.chunks_mut(plane_m).zip(scratch.v.chunks(plane_v));
    for ((m, v), u) in products.zip(u.chunks(plane(g.channels, g.filters))) {
        multiply(m, false, Matrix::new(v, tiles, g.channels), Matrix::new(u, g.channels, g.filters));
    }
    vectorize!(Level::new(), simd => output(simd, g, band, &scratch.m, &mut scratch.sums));
}

/// From the sums' gradients: adds to `du`, and to `dx` where it is wanted, which starts with the band's first image.
pub fn gradients<T: Real>(
    g: Geometry,
    band: Band,
    x: &[T],
    u: &[T],
    scratch: &mut Scratch<T>,
    du: &mut [T],
    dx: Option<&mut [T]>,
) {
    transform(g, band, x, &mut scratch.v);
    let (tiles, plane_u) = (band.tiles(g), plane(g.channels, g.filters));
    let (plane_v, plane_m) = (plane(tiles, g.channels), plane(tiles, g.filters));
    scratch.m.resize(POINTS * plane_m, T::zero());
    vectorize!(Level::new(), simd => output_gradient(simd, g, band, &scratch.sums, &mut scratch.m));
    let points = scratch.v.chunks_mut(plane_v).zip(scratch.m.chunks(plane_m));
    for (((v, m), du), u) in points.zip(du.chunks_mut(plane_u)).zip(u.chunks(plane_u)) {
        let m = Matrix::new(m, tiles, g.filters);
        multiply(du, true, Matrix::new(v, tiles, g.channels).transposed(), m);
        if dx.is_some() {
            multiply(v, false, m, Matrix::new(u, g.channels, g.filters).transposed());
        }
    }
    if let Some(dx) = dx {
        vectorize!(Level::new(), simd => input_gradient(simd, g, band, &scratch.v, dx));
    }
}

impl Band {
    fn tiles(self, g: Geometry) -> usize {
        self.images * self.rows.div_ceil(SUMS) * g.columns().div_ceil(SUMS)
    }

    /// Image (of these), row (of these) and column of a tile's first sum.
    #[inline(always)]
    fn corner(self, g: Geometry, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = (self.rows.div_ceil(SUMS), g.columns().div_ceil(SUMS));
        (tile / columns / rows, tile / columns % rows * SUMS, tile % columns * SUMS)
    }

    /// As [`Geometry::pixel`], of an image and a row that are counted from the band's first.
    #[inline(always)]
    fn pixel(self, g: Geometry, image: usize, row: usize, column: usize) -> Option<usize> {
        Some(image * g.height * g.width + g.pixel(self.first_row + row, column)?)
    }

    /// Place of a tile's first sum among the sums.
    #[inline(always)]
    fn place(self, g: Geometry, tile: usize) -> usize {
        let (image, row, column) = self.corner(g, tile);
        image * self.sums_len(g) + (row * g.pitch + column) * g.filters
    }
}

fn transform<T: Real>(g: Geometry, band: Band, x: &[T], v: &mut Vec<T>) {
    v.resize(POINTS * plane(band.tiles(g), g.channels), T::zero());
    vectorize!(Level::new(), simd => input(simd, g, band, x, v));
}

/// Transforms the columns, then the rows of a tile. A macro, since a function that is handed over is not compiled for the
/// vectors of the machine.
macro_rules! both {
    ($simd:ident, $transform:ident, $tile:ident: $from:ident to $to:ident) => {{
        let mut half = [[splat($simd, T::zero()); $from]; $to];
        for j in 0..$from {
            let mut column = [splat($simd, T::zero()); $from];
            for i in 0..$from {
                column[i] = $tile[i][j];
            }
            let column = $transform(column);
            for i in 0..$to {
                half[i][j] = column[i];
            }
        }
        let mut whole = [[splat($simd, T::zero()); $to]; $to];
        for i in 0..$to {
            whole[i] = $transform(half[i]);
        }
        whole
    }};
}

/// `u = G weight Gᵀ`: 36 matrices `[in, out]`, each in a [`plane`].
pub fn transform_weights<T: Real>(g: Geometry, weight: &[T]) -> Vec<T> {
    let mut u = vec![T::zero(); POINTS * plane(g.channels, g.filters)];
    vectorize!(Level::new(), simd => weights(simd, g, weight, &mut u));
    u
}

#[inline(always)]
fn weights<S: Simd, T: Real>(simd: S, g: Geometry, weight: &[T], u: &mut [T]) {
    let (len, plane) = (g.channels * g.filters, plane(g.channels, g.filters));
    for start in (0..len).step_by(T::Native::<S>::LEN) {
        let end = len.min(start + T::Native::<S>::LEN);
        let mut taps = [[splat(simd, T::zero()); KERNEL]; KERNEL];
        for i in 0..KERNEL {
            for j in 0..KERNEL {
                let tap = (i * KERNEL + j) * len;
                taps[i][j] = load::<S, T>(simd, &weight[tap + start..tap + end]);
            }
        }
        let points = both!(simd, transform_weight, taps: KERNEL to SIDE);
        for i in 0..SIDE {
            for j in 0..SIDE {
                let point = (i * SIDE + j) * plane;
                store::<S, T>(points[i][j], &mut u[point + start..point + end]);
            }
        }
    }
}

/// `dweight = Gᵀ du G`.
pub fn weight_gradient<T: Real>(g: Geometry, du: &[T]) -> Vec<T> {
    let mut dweight = vec![T::zero(); KERNEL * KERNEL * g.channels * g.filters];
    vectorize!(Level::new(), simd => weights_gradient(simd, g, du, &mut dweight));
    dweight
}

#[inline(always)]
fn weights_gradient<S: Simd, T: Real>(simd: S, g: Geometry, du: &[T], dweight: &mut [T]) {
    let (len, plane) = (g.channels * g.filters, plane(g.channels, g.filters));
    for start in (0..len).step_by(T::Native::<S>::LEN) {
        let end = len.min(start + T::Native::<S>::LEN);
        let mut points = [[splat(simd, T::zero()); SIDE]; SIDE];
        for i in 0..SIDE {
            for j in 0..SIDE {
                let point = (i * SIDE + j) * plane;
                points[i][j] = load::<S, T>(simd, &du[point + start..point + end]);
            }
        }
        let taps = both!(simd, transform_weight_gradient, points: SIDE to KERNEL);
        for i in 0..KERNEL {
            for j in 0..KERNEL {
                let tap = (i * KERNEL + j) * len;
                store::<S, T>(taps[i][j], &mut dweight[tap + start..tap + end]);
            }
        }
    }
}

/// `v = Bᵀ d B` of each tile; what lies outside of the picture is zero.
#[inline(always)]
fn input<S: Simd, T: Real>(simd: S, g: Geometry, band: Band, x: &[T], v: &mut [T]) {
    let plane = plane(band.tiles(g), g.channels);
    for tile in 0..band.tiles(g) {
        let (image, row, column) = band.corner(g, tile);
        for c in (0..g.channels).step_by(T::Native::<S>::LEN) {
            let end = g.channels.min(c + T::Native::<S>::LEN);
            let mut d = [[splat(simd, T::zero()); SIDE]; SIDE];
            for i in 0..SIDE {
                for j in 0..SIDE {
                    if let Some(pixel) = band.pixel(g, image, row + i, column + j) {
                        d[i][j] = load::<S, T>(simd, &x[pixel * g.channels + c..pixel * g.channels + end]);
                    }
                }
            }
            let points = both!(simd, transform_input, d: SIDE to SIDE);
            for i in 0..SIDE {
                for j in 0..SIDE {
                    let start = (i * SIDE + j) * plane + tile * g.channels;
                    store::<S, T>(points[i][j], &mut v[start + c..start + end]);
                }
            }
        }
    }
}

/// `Aᵀ m A`, the sums of each tile.
#[inline(always)]
fn output<S: Simd, T: Real>(simd: S, g: Geometry, band: Band, m: &[T], sums: &mut [T]) {
    let plane = plane(band.tiles(g), g.filters);
    for tile in 0..band.tiles(g) {
        let place = band.place(g, tile);
        for f in (0..g.filters).step_by(T::Native::<S>::LEN) {
            let end = g.filters.min(f + T::Native::<S>::LEN);
            let mut points = [[splat(simd, T::zero()); SIDE]; SIDE];
            for i in 0..SIDE {
                for j in 0..SIDE {
                    let start = (i * SIDE + j) * plane + tile * g.filters;
                    points[i][j] = load::<S, T>(simd, &m[start + f..start + end]);
                }
            }
            let y = both!(simd, transform_output, points: SIDE to SUMS);
            for i in 0..SUMS {
                for j in 0..SUMS {
                    let start = place + (i * g.pitch + j) * g.filters;
                    store::<S, T>(y[i][j], &mut sums[start + f..start + end]);
                }
            }
        }
    }
}

/// `dm = A dy Aᵀ` of each tile.
#[inline(always)]
fn output_gradient<S: Simd, T: Real>(simd: S, g: Geometry, band: Band, sums: &[T], m: &mut [T]) {
    let plane = plane(band.tiles(g), g.filters);
    for tile in 0..band.tiles(g) {
        let place = band.place(g, tile);
        for f in (0..g.filters).step_by(T::Native::<S>::LEN) {
            let end = g.filters.min(f + T::Native::<S>::LEN);
            let mut y = [[splat(simd, T::zero()); SUMS]; SUMS];
            for i in 0..SUMS {
                for j in 0..SUMS {
                    let start = place + (i * g.pitch + j) * g.filters;
                    y[i][j] = load::<S, T>(simd, &sums[start + f..start + end]);
                }
            }
            let points = both!(simd, transform_output_gradient, y: SUMS to SIDE);
            for i in 0..SIDE {
                for j in 0..SIDE {
                    let start = (i * SIDE + j) * plane + tile * g.filters;
                    store::<S, T>(points[i][j], &mut m[start + f..start + end]);
                }
            }
        }
    }
}

/// Adds `dd = B dv Bᵀ` of each tile to the picture's gradient; tiles overlap.
#[inline(always)]
fn input_gradient<S: Simd, T: Real>(simd: S, g: Geometry, band: Band, v: &[T], dx: &mut [T]) {
    let plane = plane(band.tiles(g), g.channels);
    for tile in 0..band.tiles(g) {
        let (image, row, column) = band.corner(g, tile);
        for c in (0..g.channels).step_by(T::Native::<S>::LEN) {
            let end = g.channels.min(c + T::Native::<S>::LEN);
            let mut points = [[splat(simd, T::zero()); SIDE]; SIDE];
            for i in 0..SIDE {
                for j in 0..SIDE {
                    let start = (i * SIDE + j) * plane + tile * g.channels;
                    points[i][j] = load::<S, T>(simd, &v[start + c..start + end]);
                }
            }
            let d = both!(simd, transform_input_gradient, points: SIDE to SIDE);
            for i in 0..SIDE {
                for j in 0..SIDE {
                    if let Some(pixel) = band.pixel(g, image, row + i, column + j) {
                        let dx = &mut dx[pixel * g.channels + c..pixel * g.channels + end];
                        store::<S, T>(load::<S, T>(simd, dx) + d[i][j], dx);
                    }
                }
            }
        }
    }
}

/// `Bᵀ`.
#[inline(always)]
fn transform_input<S: Simd, V: SimdFloat<S>>([d0, d1, d2, d3, d4, d5]: [V; 6]) -> [V; 6] {
    let (a, b) = (d4 - d2 * V::Element::from(4_u8), d3 - d1 * V::Element::from(4_u8));
    let (c, e) = (d4 - d2, (d3 - d1) * V::Element::from(2_u8));
    [
        d0 * V::Element::from(4_u8) - d2 * V::Element::from(5_u8) + d4,
        a + b,
        a - b,
        c + e,
        c - e,
        d1 * V::Element::from(4_u8) - d3 * V::Element::from(5_u8) + d5,
    ]
}

/// `B`.
#[inline(always)]
fn transform_input_gradient<S: Simd, V: SimdFloat<S>>([v0, v1, v2, v3, v4, v5]: [V; 6]) -> [V; 6] {
    let (a, b) = (v1 + v2, v1 - v2);
    let (c, e) = (v3 + v4, (v3 - v4) * V::Element::from(2_u8));
    [
        v0 * V::Element::from(4_u8),
        (v5 - b) * V::Element::from(4_u8) - e,
        -(v0 * V::Element::from(5_u8) + a * V::Element::from(4_u8) + c),
        b + e - v5 * V::Element::from(5_u8),
        v0 + a + c,
        v5,
    ]
}

/// `Aᵀ`.
#[inline(always)]
fn transform_output<S: Simd, V: SimdFloat<S>>([m0, m1, m2, m3, m4, m5]: [V; 6]) -> [V; 4] {
    let (a, b, c, d) = (m1 + m2, m1 - m2, m3 + m4, m3 - m4);
    [m0 + a + c, b + d * V::Element::from(2_u8), a + c * V::Element::from(4_u8), b + d * V::Element::from(8_u8) + m5]
}

/// `A`.
#[inline(always)]
fn transform_output_gradient<S: Simd, V: SimdFloat<S>>([y0, y1, y2, y3]: [V; 4]) -> [V; 6] {
    let (a, b) = (y0 + y2, y1 + y3);
    let (c, d) = (y0 + y2 * V::Element::from(4_u8), y1 * V::Element::from(2_u8) + y3 * V::Element::from(8_u8));
    [y0, a + b, a - b, c + d, c - d, y3]
}

/// `G`.
#[inline(always)]
fn transform_weight<S: Simd, V: SimdFloat<S>>([w0, w1, w2]: [V; 3]) -> [V; 6] {
    let (a, b) = (-(w0 + w2) / V::Element::from(6_u8), w1 / V::Element::from(6_u8));
    let (c, d) = ((w0 + w2 * V::Element::from(4_u8)) / V::Element::from(24_u8), w1 / V::Element::from(12_u8));
    [w0 / V::Element::from(4_u8), a - b, a + b, c + d, c - d, w2]
}

/// `Gᵀ`.
#[inline(always)]
fn transform_weight_gradient<S: Simd, V: SimdFloat<S>>([u0, u1, u2, u3, u4, u5]: [V; 6]) -> [V; 3] {
    let (a, b, c, d) = (u1 + u2, u2 - u1, u3 + u4, u3 - u4);
    [
        u0 / V::Element::from(4_u8) - a / V::Element::from(6_u8) + c / V::Element::from(24_u8),
        b / V::Element::from(6_u8) + d / V::Element::from(12_u8),
        (c - a) / V::Element::from(6_u8) + u5,
    ]
}
