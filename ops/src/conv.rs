//! Convolution, bias, activation, 2x2 max pool and dropout in one operation.
//!
//! Pictures go through in bands: some rows of one, or several whole ones where they are small. The sums of a band are computed
//! in one of two ways, [`direct`] or [`winograd`], and finished while they are in the cache.

mod direct;
mod geometry;
mod winograd;

use std::borrow::Cow;
use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, bail};
use fearless_simd::{Level, dispatch as vectorize, prelude::*};
use husky::spec::{Activation, Window};
use rayon::prelude::*;

use geometry::{Band, Geometry};

use super::simd::{Real, load, splat, store};
use super::{Dropout, add, dispatch, dtype, limits, tensor, values, with_values};

/// Images of a task, which may share a band, and whose weight gradients it adds up. Fixed, so that the order of the sums is.
const IMAGES_PER_TASK: usize = 4;

/// `x [batch, h, w, in] * weight [k, k, in, out] + bias [out]`, then the activation and, where asked, 2x2 max pool and
/// dropout. The result is `[batch, rows, columns, out]`, with `pool` half of the windows' rows and columns, an odd last one
/// dropped.
///
/// One value is good for one call: it keeps the gradients' routes for the way back.
pub struct Conv2d {
    window: Window,
    activation: Activation,
    pool: bool,
    dropout: Option<Dropout>,
    routes: OnceLock<Vec<Route>>,
}

/// For a vector of results and each place of the pool's window, row by row: which values came from there and pass the
/// gradient on, a bit each. Without a pool there is one place.
type Route = [u16; 4];

impl Conv2d {
    /// The operation, with what follows the sum.
    pub fn new(window: Window, activation: Activation, pool: bool, dropout: Option<Dropout>) -> Self {
        Self { window, activation, pool, dropout, routes: OnceLock::new() }
    }
}

impl CustomOp3 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let g = Geometry::new(self, x_layout.dims(), weight_layout.dims(), bias_layout.dims())?;
        let arguments = [(x, x_layout), (weight, weight_layout), (bias, bias_layout)];
        let (storage, routes) = dispatch!(dtype(x), forward(g, self.dropout, arguments))?;
        if self.routes.set(routes).is_err() {
            bail!("a Conv2d serves one call")
        }
        let (rows, columns) = g.output;
        Ok((storage, Shape::from((g.batch, rows, columns, g.filters))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = Geometry::new(self, x.dims(), weight.dims(), bias.dims())?;
        let Some(routes) = self.routes.get() else { bail!("conv2d's backward comes after its forward") };
        let gradient = gradient.contiguous()?;
        let scale = self.dropout.map_or(1.0, |dropout| dropout.scale());
        let (dx, dw, db) = dispatch!(x.dtype(), backward(g, scale, [x, weight, &gradient], routes))?;
        Ok((dx, Some(dw), Some(db)))
    }
}

/// Buffers of one task, kept from band to band.
struct Scratch<T> {
    /// A band's sums or their gradients, `[images, rows, pitch, out]`.
    sums: Vec<T>,
    /// What the matrix products take and give: see `direct` and `winograd`.
    v: Vec<T>,
    m: Vec<T>,
    /// What dropout multiplies a band's results with.
    factors: Vec<T>,
}

impl<T: Real> Scratch<T> {
    fn new() -> Self {
        Self { sums: Vec::new(), v: Vec::new(), m: Vec::new(), factors: Vec::new() }
    }

    fn resize(&mut self, g: Geometry, band: Band) {
        self.sums.resize(band.images * band.sums_len(g), T::zero());
    }
}

/// The weights as the matrix products take them.
fn prepare<T: Real>(g: Geometry, weight: &[T]) -> Cow<'_, [T]> {
    if winograd::serves(g) { winograd::transform_weights(g, weight).into() } else { weight.into() }
}

fn forward<T: Real>(
    g: Geometry,
    dropout: Option<Dropout>,
    arguments: [(&CpuStorage, &Layout); 3],
) -> Result<(CpuStorage, Vec<Route>)> {
    let [x, weight, bias] = arguments;
    let (x, weight, bias) = (values::<T>(x.0, x.1)?, values::<T>(weight.0, weight.1)?, values::<T>(bias.0, bias.1)?);
    let weight = prepare(g, weight);
    let mut output = vec![T::zero(); g.batch * g.output_len()];
    let mut routes = vec![Route::default(); g.batch * g.routes_len::<T>()];
    let (output_len, routes_len) = (g.output_len(), g.routes_len::<T>());
    let (row, routes_row) = (g.output.1 * g.filters, routes_len / g.output.0);
    let tasks = output.par_chunks_mut(IMAGES_PER_TASK * output_len);
    let tasks = tasks.zip(routes.par_chunks_mut(IMAGES_PER_TASK * routes_len));
    let tasks = tasks.zip(x.par_chunks(IMAGES_PER_TASK * g.input_len())).enumerate();
    tasks.for_each_init(Scratch::new, |scratch, (task, ((y, routes), x))| {
        let images = x.len() / g.input_len();
        let factors = |image| dropout.map(|dropout| dropout.factors(task * IMAGES_PER_TASK + image));
        let mut factors: Vec<_> = (0..images).map(factors).collect();
        for band in g.bands(images) {
            scratch.resize(g, band);
            let x = &x[band.first_image * g.input_len()..];
            match winograd::serves(g) {
                true => winograd::sums(g, band, x, &weight, scratch),
                false => direct::sums(g, band, x, &weight, scratch),
            }
            for (image, sums) in band.images().zip(scratch.sums.chunks(band.sums_len(g))) {
                let y = &mut y[image * output_len..][band.of(g, row)];
                if let Some(factors) = &mut factors[image] {
                    scratch.factors.resize(y.len(), T::zero());
                    factors.fill(&mut scratch.factors);
                }
                let routes = &mut routes[image * routes_len..][band.of(g, routes_row)];
                vectorize!(Level::new(), simd => finish(simd, g, sums, bias, &scratch.factors, y, routes));
            }
        }
    });
    Ok((T::to_cpu_storage_owned(output), routes))
}

/// What follows the sums of some rows; without dropout there are no `factors`.
#[inline(always)]
fn finish<S: Simd, T: Real>(
    simd: S,
    g: Geometry,
    sums: &[T],
    bias: &[T],
    factors: &[T],
    y: &mut [T],
    routes: &mut [Route],
) {
    let (f, side, lanes) = (g.filters, g.side(), T::Native::<S>::LEN);
    let blocks = f.div_ceil(lanes);
    let [low, high] = limits::<T>(g.activation);
    let (low, high, zero) = (splat(simd, low), splat(simd, high), splat(simd, T::zero()));
    for row in 0..y.len() / (g.output.1 * f) {
        for column in 0..g.output.1 {
            let pixel = row * g.output.1 + column;
            let upper = &sums[(row * side * g.pitch + column * side) * f..];
            for block in 0..blocks {
                let (start, end) = (block * lanes, f.min((block + 1) * lanes));
                let mut value: T::Native<S> = load(simd, &upper[start..end]);
                let mut from =
                    [!value.simd_gt(value), value.simd_lt(value), value.simd_lt(value), value.simd_lt(value)];
                if g.pool {
                    let lower = &upper[g.pitch * f..];
                    let b: T::Native<S> = load(simd, &upper[f + start..f + end]);
                    let c: T::Native<S> = load(simd, &lower[start..end]);
                    let d: T::Native<S> = load(simd, &lower[f + start..f + end]);
                    let (right, lower_right) = (b.simd_gt(value), d.simd_gt(c));
                    let (top, bottom) = (right.select(b, value), lower_right.select(d, c));
                    let below = bottom.simd_gt(top);
                    value = below.select(bottom, top);
                    from = [!below & !right, !below & right, below & !lower_right, below & lower_right];
                }
                // The bias is the same for all four, so it is added to the largest.
                value += load(simd, &bias[start..end]);
                let mut passes = value.simd_gt(low) & value.simd_lt(high);
                // So written, NaN stays NaN.
                value = value.simd_lt(low).select(low, value);
                value = value.simd_gt(high).select(high, value);
                if !factors.is_empty() {
                    let factor: T::Native<S> = load(simd, &factors[pixel * f + start..pixel * f + end]);
                    passes &= factor.simd_gt(zero);
                    value *= factor;
                }
                let route = &mut routes[pixel * blocks + block];
                for i in 0..4 {
                    route[i] = (from[i] & passes).to_bitmask() as u16;
                }
                store::<S, T>(value, &mut y[pixel * f + start..pixel * f + end]);
            }
        }
    }
}

type Gradients = (Option<Tensor>, Tensor, Tensor);

fn backward<T: Real>(g: Geometry, scale: f64, tensors: [&Tensor; 3], routes: &[Route]) -> Result<Gradients> {
    let [x, weight, _] = tensors;
    // The photos themselves need no gradient.
    let wanted = x.track_op();
    with_values(tensors, |[x_values, weight_values, gradient]: [&[T]; 3]| {
        let prepared = prepare(g, weight_values);
        let mut dx = vec![T::zero(); if wanted { x_values.len() } else { 0 }];
        let mut dx_tasks: Vec<Option<&mut [T]>> = match wanted {
            true => dx.chunks_mut(IMAGES_PER_TASK * g.input_len()).map(Some).collect(),
            false => (0..g.batch.div_ceil(IMAGES_PER_TASK)).map(|_| None).collect(),
        };
        let (output_len, routes_len) = (g.output_len(), g.routes_len::<T>());
        let (row, routes_row) = (g.output.1 * g.filters, routes_len / g.output.0);
        let tasks = dx_tasks.par_iter_mut().zip(x_values.par_chunks(IMAGES_PER_TASK * g.input_len()));
        let tasks = tasks.zip(gradient.par_chunks(IMAGES_PER_TASK * output_len));
        let tasks = tasks.zip(routes.par_chunks(IMAGES_PER_TASK * routes_len));
        let partial: Vec<(Vec<T>, Vec<T>)> = tasks
            .map_init(Scratch::new, |scratch, (((dx, x), gradient), routes)| {
                let (mut dw, mut db) = (vec![T::zero(); prepared.len()], vec![T::zero(); g.filters]);
                for band in g.bands(x.len() / g.input_len()) {
                    scratch.resize(g, band);
                    for (image, sums) in band.images().zip(scratch.sums.chunks_mut(band.sums_len(g))) {
                        let gradient = &gradient[image * output_len..][band.of(g, row)];
                        let routes = &routes[image * routes_len..][band.of(g, routes_row)];
                        let scale = T::from_f64(scale);
                        vectorize!(Level::new(), simd => place(simd, g, gradient, scale, routes, sums, &mut db));
                    }
                    let first = band.first_image * g.input_len();
                    let (x, dx) = (&x[first..], dx.as_deref_mut().map(|dx| &mut dx[first..]));
                    match winograd::serves(g) {
                        true => winograd::gradients(g, band, x, &prepared, scratch, &mut dw, dx),
                        false => direct::gradients(g, band, x, &prepared, scratch, &mut dw, dx),
                    }
                }
                (if winograd::serves(g) { winograd::weight_gradient(g, &dw) } else { dw }, db)
            })
            .collect();
        let (mut dw, mut db) = (vec![T::zero(); weight_values.len()], vec![T::zero(); g.filters]);
        for (w, b) in &partial {
            add(&mut dw, w);
            add(&mut db, b);
        }
        let dx = if wanted { Some(tensor(dx, x.dims())?) } else { None };
        Ok((dx, tensor(dw, weight.dims())?, tensor(db, &[g.filters])?))
    })
}

/// Leads the gradients of some rows of results back to the sums that they come from, and adds up the bias'.
#[inline(always)]
fn place<S: Simd, T: Real>(
    simd: S,
    g: Geometry,
    gradient: &[T],
    scale: T,
    routes: &[Route],
    sums: &mut [T],
    db: &mut [T],
) {
    let (f, side, lanes) = (g.filters, g.side(), T::Native::<S>::LEN);
    let (blocks, rows) = (f.div_ceil(lanes), gradient.len() / (g.output.1 * f));
    let zero = splat(simd, T::zero());
    for sums in sums.chunks_exact_mut(g.pitch * f).take(rows * side) {
        sums[g.columns() * f..].fill(T::zero());
    }
    sums[rows * side * g.pitch * f..].fill(T::zero());
    for row in 0..rows {
        for block in 0..blocks {
            let (start, end) = (block * lanes, f.min((block + 1) * lanes));
            let mut sum: T::Native<S> = load(simd, &db[start..end]);
            for column in 0..g.output.1 {
                let pixel = row * g.output.1 + column;
                let value: T::Native<S> = load::<S, T>(simd, &gradient[pixel * f + start..pixel * f + end]) * scale;
                let route = routes[pixel * blocks + block];
                for place in 0..side * side {
                    let mask = <T::Native<S> as SimdBase<S>>::Mask::from_bitmask(simd, route[place].into());
                    let value = mask.select(value, zero);
                    sum += value;
                    let pixel = (row * side + place / 2) * g.pitch + column * side + place % 2;
                    store::<S, T>(value, &mut sums[pixel * f + start..pixel * f + end]);
                }
            }
            store::<S, T>(sum, &mut db[start..end]);
        }
    }
}
