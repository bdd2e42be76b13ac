//! Convolution, bias, ReLU and 2x2 max pool in one operation.
//!
//! In `[height, width, channels]` order the window row of one output pixel is a run of `kernel * channels` neighbouring
//! values, and the next pixel's run starts `channels` later. So a convolution is `kernel` plain matrix products over
//! overlapping rows, without an im2col copy. Pixels at the right edge, whose window would wrap into the next row, are
//! computed as well and ignored.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};
use rayon::prelude::*;

use super::gemm::{Matrix, multiply};
use super::{add, dispatch, dtype, tensor, values, with_values};

/// Images whose weight gradients one task adds up. Fixed, so that the order of the sums is.
const IMAGES_PER_TASK: usize = 4;
/// Output pixels computed at a time: their sums stay in the cache until they are pooled.
const BAND: usize = 1024;

/// `x [batch, h, w, in] * weight [k, k, in, out] + bias [out]`, stride 1, no padding, then ReLU and 2x2 max pool where asked.
/// The result is `[batch, h - k + 1, w - k + 1, out]`, with `pool` half of that, an odd last row or column dropped.
///
/// One value is good for one call: it keeps which pixel won each window for the way back.
pub struct Conv2d {
    relu: bool,
    pool: bool,
    /// For each pooled value, which of the window's four pixels was the largest: `2 * row + column`.
    winners: OnceLock<Vec<u8>>,
}

impl Conv2d {
    /// The operation, with what follows the sum.
    pub fn new(relu: bool, pool: bool) -> Self {
        Self { relu, pool, winners: OnceLock::new() }
    }
}

/// All lengths of one call.
#[derive(Clone, Copy)]
struct Geometry {
    batch: usize,
    height: usize,
    width: usize,
    channels: usize,
    kernel: usize,
    filters: usize,
    relu: bool,
    pool: bool,
}

impl Geometry {
    fn new(op: &Conv2d, x: &[usize], weight: &[usize], bias: &[usize]) -> Result<Self> {
        let (&[batch, height, width, channels], &[kernel, columns, depth, filters]) = (x, weight) else {
            bail!("conv2d wants [batch, h, w, in] and [k, k, in, out], not {x:?} and {weight:?}")
        };
        let smallest = kernel + usize::from(op.pool);
        if kernel == 0 || columns != kernel || depth != channels || bias != [filters] || smallest > height.min(width) {
            bail!("conv2d cannot combine {x:?}, {weight:?} and {bias:?}")
        }
        Ok(Self { batch, height, width, channels, kernel, filters, relu: op.relu, pool: op.pool })
    }

    /// Rows and columns before the pool.
    fn sums(&self) -> (usize, usize) {
        (self.height + 1 - self.kernel, self.width + 1 - self.kernel)
    }

    /// Rows and columns of the result.
    fn output(&self) -> (usize, usize) {
        let (rows, columns) = self.sums();
        if self.pool { (rows / 2, columns / 2) } else { (rows, columns) }
    }

    fn input_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    fn output_len(&self) -> usize {
        let (rows, columns) = self.output();
        rows * columns * self.filters
    }

    /// Values in one row of the window, over all filters: the length of the weights' first axis.
    fn weight_row(&self) -> usize {
        self.kernel * self.channels * self.filters
    }

    /// Width of a row in the backward pass, where both input and gradients have margins: the same for both, so that one
    /// offset serves.
    fn pitch(&self) -> usize {
        self.width + self.kernel - 1
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
        let (storage, winners) =
            dispatch!(dtype(x), forward(g, (x, x_layout), (weight, weight_layout), (bias, bias_layout)))?;
        if self.winners.set(winners).is_err() {
            bail!("a Conv2d serves one call")
        }
        let (rows, columns) = g.output();
        Ok((storage, Shape::from((g.batch, rows, columns, g.filters))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        y: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let g = Geometry::new(self, x.dims(), weight.dims(), bias.dims())?;
        let Some(winners) = self.winners.get() else { bail!("conv2d's backward comes after its forward") };
        let gradient = gradient.contiguous()?;
        let (dx, dw, db) = dispatch!(x.dtype(), backward(g, [x, weight, y, &gradient], winners))?;
        Ok((dx, Some(dw), Some(db)))
    }
}

fn forward<T: WithDType>(
    g: Geometry,
    x: (&CpuStorage, &Layout),
    weight: (&CpuStorage, &Layout),
    bias: (&CpuStorage, &Layout),
) -> Result<(CpuStorage, Vec<u8>)> {
    let (x, weight, bias) = (values::<T>(x.0, x.1)?, values::<T>(weight.0, weight.1)?, values::<T>(bias.0, bias.1)?);
    let mut output = vec![T::zero(); g.batch * g.output_len()];
    let mut winners = vec![0; if g.pool { output.len() } else { g.batch }];
    let winners_len = winners.len() / g.batch.max(1);
    output
        .par_chunks_mut(g.output_len())
        .zip(winners.par_chunks_mut(winners_len.max(1)))
        .zip(x.par_chunks(g.input_len()))
        .for_each_init(Vec::new, |sums, ((y, winners), x)| forward_image(g, x, weight, bias, sums, y, winners));
    Ok((T::to_cpu_storage_owned(output), winners))
}

fn forward_image<T: WithDType>(
    g: Geometry,
    x: &[T],
    weight: &[T],
    bias: &[T],
    sums: &mut Vec<T>,
    y: &mut [T],
    winners: &mut [u8],
) {
    let (_, columns) = g.output();
    let window = if g.pool { 2 } else { 1 };
    let band = (BAND / (g.width * window)).max(1);
    for (band_index, y) in y.chunks_mut(band * columns * g.filters).enumerate() {
        let top = band_index * band * window;
        let rows = y.len() / (columns * g.filters);
        let pixels = rows * window * g.width - (g.kernel - 1);
        sums.resize(rows * window * g.width * g.filters, T::zero());
        for (i, weight) in weight.chunks(g.weight_row()).enumerate() {
            let x = Matrix::strided(&x[(top + i) * g.width * g.channels..], pixels, g.kernel * g.channels, g.channels);
            multiply(sums, i > 0, x, Matrix::new(weight, g.kernel * g.channels, g.filters));
        }
        let row_len = g.width * g.filters;
        if g.pool {
            let winners = &mut winners[band_index * band * columns * g.filters..][..y.len()];
            let rows = y.chunks_mut(columns * g.filters).zip(winners.chunks_mut(columns * g.filters));
            for ((y, winners), sums) in rows.zip(sums.chunks(2 * row_len)) {
                let (upper, lower) = sums.split_at(row_len);
                pool_row(g, upper, lower, bias, y, winners);
            }
        } else {
            for (y, sums) in y.chunks_mut(columns * g.filters).zip(sums.chunks(row_len)) {
                for (y, sums) in y.chunks_mut(g.filters).zip(sums.chunks(g.filters)) {
                    for ((y, &sum), &bias) in y.iter_mut().zip(sums).zip(bias) {
                        *y = activate(g, sum + bias);
                    }
                }
            }
        }
    }
}

fn activate<T: WithDType>(g: Geometry, value: T) -> T {
    if g.relu { super::larger(value, T::zero()) } else { value }
}

/// One row of pooled pixels from two rows of sums. The bias is the same for all four, so it is added to the largest.
fn pool_row<T: WithDType>(g: Geometry, upper: &[T], lower: &[T], bias: &[T], y: &mut [T], winners: &mut [u8]) {
    let f = g.filters;
    let pairs = upper.chunks_exact(2 * f).zip(lower.chunks_exact(2 * f));
    for ((y, winners), (upper, lower)) in y.chunks_mut(f).zip(winners.chunks_mut(f)).zip(pairs) {
        let ((a, b), (c, d)) = (upper.split_at(f), lower.split_at(f));
        for i in 0..f {
            let (top, top_winner) = if b[i] > a[i] { (b[i], 1) } else { (a[i], 0) };
            let (bottom, bottom_winner) = if d[i] > c[i] { (d[i], 3) } else { (c[i], 2) };
            let (largest, winner) = if bottom > top { (bottom, bottom_winner) } else { (top, top_winner) };
            winners[i] = winner;
            y[i] = activate(g, largest + bias[i]);
        }
    }
}

type Gradients = (Option<Tensor>, Tensor, Tensor);

fn backward<T: WithDType>(g: Geometry, tensors: [&Tensor; 4], winners: &[u8]) -> Result<Gradients> {
    let [x, weight, ..] = tensors;
    with_values(tensors, |[x_values, weight_values, y_values, gradient_values]: [&[T]; 4]| {
        // The photos themselves need no gradient.
        let flipped = x.track_op().then(|| flip(g, weight_values));
        let mut dx = vec![T::zero(); if flipped.is_some() { x_values.len() } else { 0 }];
        let dx_len = dx.len() / g.batch;
        let winners_len = winners.len() / g.batch;
        let mut dx_images: Vec<&mut [T]> = match dx_len {
            0 => (0..g.batch).map(|_| Default::default()).collect(),
            len => dx.chunks_mut(len).collect(),
        };
        let partial: Vec<(Vec<T>, Vec<T>)> = dx_images
            .par_chunks_mut(IMAGES_PER_TASK)
            .enumerate()
            .map_init(Scratch::new, |scratch, (task, dx_images)| {
                let (mut dw, mut db) = (vec![T::zero(); weight_values.len()], vec![T::zero(); g.filters]);
                for (i, dx) in dx_images.iter_mut().enumerate() {
                    let image = task * IMAGES_PER_TASK + i;
                    let output = image * g.output_len()..(image + 1) * g.output_len();
                    let winners = &winners[image * winners_len..][..winners_len];
                    scratch.place_gradients(g, &y_values[output.clone()], &gradient_values[output], winners, &mut db);
                    scratch.weight_gradients(g, &x_values[image * g.input_len()..][..g.input_len()], &mut dw);
                    if let Some(flipped) = &flipped {
                        scratch.input_gradients(g, flipped, dx);
                    }
                }
                (dw, db)
            })
            .collect();
        let (mut dw, mut db) = (vec![T::zero(); weight_values.len()], vec![T::zero(); g.filters]);
        for (w, b) in &partial {
            add(&mut dw, w);
            add(&mut db, b);
        }
        let dx = if flipped.is_some() { Some(tensor(dx, x.dims())?) } else { None };
        Ok((dx, tensor(dw, weight.dims())?, tensor(db, &[g.filters])?))
    })
}

/// The weights of the convolution that carries gradients back: turned by 180 degrees, `[k, k, out, in]`.
fn flip<T: WithDType>(g: Geometry, weight: &[T]) -> Vec<T> {
    let mut flipped = Vec::with_capacity(weight.len());
    for matrix in weight.rchunks(g.channels * g.filters) {
        for filter in 0..g.filters {
            flipped.extend(matrix.iter().skip(filter).step_by(g.filters));
        }
    }
    flipped
}

/// Buffers of one task, kept from picture to picture.
struct Scratch<T> {
    /// Gradients of the sums, `[height + kernel - 1, pitch, filters]`, with a margin of `kernel - 1` zeros.
    sums: Vec<T>,
    /// The input, `[height, pitch, channels]`; the margin's values meet zeros only.
    input: Vec<T>,
    /// The input's gradients, `[height, pitch, channels]`.
    dx: Vec<T>,
}

impl<T: WithDType> Scratch<T> {
    fn new() -> Self {
        Self { sums: Vec::new(), input: Vec::new(), dx: Vec::new() }
    }

    /// Leads each gradient back through ReLU and pool to the sum it belongs to, and adds up the bias' gradient.
    fn place_gradients(&mut self, g: Geometry, y: &[T], gradient: &[T], winners: &[u8], db: &mut [T]) {
        let (f, pitch, margin) = (g.filters, g.pitch(), g.kernel - 1);
        // Every picture writes the same places, so what is zero stays zero.
        self.sums.resize((g.height + margin) * pitch * f, T::zero());
        let columns = g.output().1;
        let mut masked = vec![T::zero(); f];
        for (pixel, (y, gradient)) in y.chunks(f).zip(gradient.chunks(f)).enumerate() {
            for ((masked, &y), &gradient) in masked.iter_mut().zip(y).zip(gradient) {
                *masked = if g.relu && y <= T::zero() { T::zero() } else { gradient };
            }
            add(db, &masked);
            let (row, column) = (pixel / columns, pixel % columns);
            let start = |row: usize, column: usize| ((row + margin) * pitch + column + margin) * f;
            if g.pool {
                let winners = &winners[pixel * f..][..f];
                for place in 0..4 {
                    let start = start(2 * row + usize::from(place / 2), 2 * column + usize::from(place % 2));
                    for ((sum, &value), &winner) in self.sums[start..].iter_mut().zip(&masked).zip(winners) {
                        *sum = if winner == place { value } else { T::zero() };
                    }
                }
            } else {
                self.sums[start(row, column)..][..f].copy_from_slice(&masked);
            }
        }
    }

    fn weight_gradients(&mut self, g: Geometry, x: &[T], dw: &mut [T]) {
        let (pitch, margin) = (g.pitch(), g.kernel - 1);
        self.input.resize(g.height * pitch * g.channels, T::zero());
        let rows = x.chunks(g.width * g.channels).zip(self.input.chunks_mut(pitch * g.channels));
        for (x, padded) in rows {
            padded[..x.len()].copy_from_slice(x);
        }
        let pixels = g.sums().0 * pitch - margin;
        let sums = Matrix::new(&self.sums[(margin * pitch + margin) * g.filters..], pixels, g.filters);
        for (i, dw) in dw.chunks_mut(g.weight_row()).enumerate() {
            let input = &self.input[i * pitch * g.channels..];
            let input = Matrix::strided(input, pixels, g.kernel * g.channels, g.channels);
            multiply(dw, true, input.transposed(), sums);
        }
    }

    fn input_gradients(&mut self, g: Geometry, flipped: &[T], dx: &mut [T]) {
        let (pitch, margin) = (g.pitch(), g.kernel - 1);
        self.dx.resize(g.height * pitch * g.channels, T::zero());
        let pixels = g.height * pitch - margin;
        for (i, weight) in flipped.chunks(g.weight_row()).enumerate() {
            let sums = Matrix::strided(&self.sums[i * pitch * g.filters..], pixels, g.kernel * g.filters, g.filters);
            multiply(&mut self.dx, i > 0, sums, Matrix::new(weight, g.kernel * g.filters, g.channels));
        }
        let rows = dx.chunks_mut(g.width * g.channels).zip(self.dx.chunks(pitch * g.channels));
        for (dx, padded) in rows {
            dx.copy_from_slice(&padded[..dx.len()]);
        }
    }
}
